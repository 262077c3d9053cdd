import type { AlertProvider } from '#api/alert-provider.ts'
import type { MetricTemplate } from '#api/metric-template.ts'
import { alertAddressInPlain } from '#policy/object-rules/alert-address-in-plain.ts'
import { alertAddress } from '#policy/object-rules/alert-address.ts'
import { alertEmail } from '#policy/object-rules/alert-email.ts'
import { alertUrl } from '#policy/object-rules/alert-url.ts'
import { metricProviderFields } from '#policy/object-rules/metric-provider-fields.ts'
import { metricProviderHost } from '#policy/object-rules/metric-provider-host.ts'
import { metricProviderTls } from '#policy/object-rules/metric-provider-tls.ts'
import { templateFixedWindow } from '#policy/object-rules/template-fixed-window.ts'
import { templateNamesNoTarget } from '#policy/object-rules/template-names-no-target.ts'
import { templatePromql } from '#policy/object-rules/template-promql.ts'
import { templateSyntax } from '#policy/object-rules/template-syntax.ts'
import { alertProviderExists } from '#policy/rules/alert-provider-exists.ts'
import { alertSeverity } from '#policy/rules/alert-severity.ts'
import { analysisPresent } from '#policy/rules/analysis-present.ts'
import { analysisTooShortToTell } from '#policy/rules/analysis-too-short-to-tell.ts'
import { autoscalerReplicas } from '#policy/rules/autoscaler-replicas.ts'
import { autoscalerTarget } from '#policy/rules/autoscaler-target.ts'
import { baselinePossible } from '#policy/rules/baseline-possible.ts'
import { crossNamespace } from '#policy/rules/cross-namespace.ts'
import { delegation } from '#policy/rules/delegation.ts'
import { duplicateMetrics } from '#policy/rules/duplicate-metrics.ts'
import { duplicateService } from '#policy/rules/duplicate-service.ts'
import { duplicateTarget } from '#policy/rules/duplicate-target.ts'
import { errorRateBounds } from '#policy/rules/error-rate-bounds.ts'
import { foreignAutoscaler } from '#policy/rules/foreign-autoscaler.ts'
import { fullTrafficWithoutHold } from '#policy/rules/full-traffic-without-hold.ts'
import { gatewaysWithoutMesh } from '#policy/rules/gateways-without-mesh.ts'
import { hookAddress } from '#policy/rules/hook-address.ts'
import { hookGates } from '#policy/rules/hook-gates.ts'
import { hookNames } from '#policy/rules/hook-names.ts'
import { hookNeverCalled } from '#policy/rules/hook-never-called.ts'
import { hookRetries } from '#policy/rules/hook-retries.ts'
import { hookTimeout } from '#policy/rules/hook-timeout.ts'
import { hookTimeoutsExceedInterval } from '#policy/rules/hook-timeouts-exceed-interval.ts'
import { hookTls } from '#policy/rules/hook-tls.ts'
import { immutableNames } from '#policy/rules/immutable-names.ts'
import { inlineQuery } from '#policy/rules/inline-query.ts'
import { intervalAndThresholdGiven } from '#policy/rules/interval-and-threshold-given.ts'
import { intervalFormat } from '#policy/rules/interval-format.ts'
import { intervalTooShort } from '#policy/rules/interval-too-short.ts'
import { judgeNeedsLimit } from '#policy/rules/judge-needs-limit.ts'
import { knativeTarget } from '#policy/rules/knative-target.ts'
import { largeFirstStep } from '#policy/rules/large-first-step.ts'
import { lenientSuccessRate } from '#policy/rules/lenient-success-rate.ts'
import { lenientThreshold } from '#policy/rules/lenient-threshold.ts'
import { matchKinds } from '#policy/rules/match-kinds.ts'
import { matchNeedsIterations } from '#policy/rules/match-needs-iterations.ts'
import { matchProvider } from '#policy/rules/match-provider.ts'
import { maxWeightIgnored } from '#policy/rules/max-weight-ignored.ts'
import { metricIntervalFormat } from '#policy/rules/metric-interval-format.ts'
import { metricSecretKeys } from '#policy/rules/metric-secret-keys.ts'
import { metricSource } from '#policy/rules/metric-source.ts'
import { metricTemplateExists } from '#policy/rules/metric-template-exists.ts'
import { metricTemplateInterval } from '#policy/rules/metric-template-interval.ts'
import { metricTemplateVariables } from '#policy/rules/metric-template-variables.ts'
import { metricThresholdIgnored } from '#policy/rules/metric-threshold-ignored.ts'
import { metricThreshold } from '#policy/rules/metric-threshold.ts'
import { metricWindowMixesSteps } from '#policy/rules/metric-window-mixes-steps.ts'
import { metricWithoutData } from '#policy/rules/metric-without-data.ts'
import { metricsServerAddress } from '#policy/rules/metrics-server-address.ts'
import { metricsServerHost } from '#policy/rules/metrics-server-host.ts'
import { mirrorProvider } from '#policy/rules/mirror-provider.ts'
import { mirrorWeightAlone } from '#policy/rules/mirror-weight-alone.ts'
import { noAlerts } from '#policy/rules/no-alerts.ts'
import { noMetrics } from '#policy/rules/no-metrics.ts'
import { nothingChecked } from '#policy/rules/nothing-checked.ts'
import { oneStrategy } from '#policy/rules/one-strategy.ts'
import { primaryFailsMetric } from '#policy/rules/primary-fails-metric.ts'
import { progressDeadline } from '#policy/rules/progress-deadline.ts'
import { providerReferences } from '#policy/rules/provider-references.ts'
import { providerSupported } from '#policy/rules/provider-supported.ts'
import { readyThresholdRange } from '#policy/rules/ready-threshold-range.ts'
import { replicaWeights } from '#policy/rules/replica-weights.ts'
import { requestDurationBounds } from '#policy/rules/request-duration-bounds.ts'
import { requestDurationUnits } from '#policy/rules/request-duration-units.ts'
import { revertOnDeletion } from '#policy/rules/revert-on-deletion.ts'
import { scrapeSource } from '#policy/rules/scrape-source.ts'
import { servicePort } from '#policy/rules/service-port.ts'
import { serviceTarget } from '#policy/rules/service-target.ts'
import { serviceTimeouts } from '#policy/rules/service-timeouts.ts'
import { sessionAffinity } from '#policy/rules/session-affinity.ts'
import { shortAnalysis } from '#policy/rules/short-analysis.ts'
import { shortInterval } from '#policy/rules/short-interval.ts'
import { skipAnalysis } from '#policy/rules/skip-analysis.ts'
import { stepAboveMax } from '#policy/rules/step-above-max.ts'
import { stepWeightsRising } from '#policy/rules/step-weights-rising.ts'
import { successRateBounds } from '#policy/rules/success-rate-bounds.ts'
import { targetExists } from '#policy/rules/target-exists.ts'
import { targetName } from '#policy/rules/target-name.ts'
import { targetSelector } from '#policy/rules/target-selector.ts'
import { targetUpdateStrategy } from '#policy/rules/target-update-strategy.ts'
import { thresholdRange } from '#policy/rules/threshold-range.ts'
import { thresholdShorterThanWindow } from '#policy/rules/threshold-shorter-than-window.ts'
import { weightBounds } from '#policy/rules/weight-bounds.ts'
import { weightOvershoot } from '#policy/rules/weight-overshoot.ts'
import { wholeNumbers } from '#policy/rules/whole-numbers.ts'
import type { ObjectRule, Rule, Severity } from '#policy/rule.ts'

/** Every rule about Canaries. A new rule is one file in `rules/` and one line here. */
export const RULES: readonly Rule[] = [
  alertProviderExists,
  alertSeverity,
  analysisPresent,
  autoscalerReplicas,
  autoscalerTarget,
  baselinePossible,
  crossNamespace,
  delegation,
  duplicateMetrics,
  duplicateService,
  duplicateTarget,
  errorRateBounds,
  foreignAutoscaler,
  fullTrafficWithoutHold,
  gatewaysWithoutMesh,
  hookAddress,
  hookGates,
  hookNames,
  hookNeverCalled,
  hookRetries,
  hookTimeout,
  hookTimeoutsExceedInterval,
  hookTls,
  immutableNames,
  inlineQuery,
  intervalAndThresholdGiven,
  intervalFormat,
  intervalTooShort,
  judgeNeedsLimit,
  knativeTarget,
  largeFirstStep,
  lenientSuccessRate,
  lenientThreshold,
  matchKinds,
  matchNeedsIterations,
  matchProvider,
  maxWeightIgnored,
  metricIntervalFormat,
  metricSecretKeys,
  metricSource,
  metricTemplateExists,
  metricTemplateInterval,
  metricTemplateVariables,
  metricThresholdIgnored,
  metricThreshold,
  metricWindowMixesSteps,
  metricWithoutData,
  analysisTooShortToTell,
  metricsServerAddress,
  metricsServerHost,
  mirrorProvider,
  mirrorWeightAlone,
  noAlerts,
  noMetrics,
  nothingChecked,
  oneStrategy,
  primaryFailsMetric,
  progressDeadline,
  providerReferences,
  providerSupported,
  readyThresholdRange,
  replicaWeights,
  requestDurationBounds,
  requestDurationUnits,
  revertOnDeletion,
  scrapeSource,
  servicePort,
  serviceTarget,
  serviceTimeouts,
  sessionAffinity,
  shortAnalysis,
  shortInterval,
  skipAnalysis,
  stepAboveMax,
  stepWeightsRising,
  successRateBounds,
  targetExists,
  targetName,
  targetSelector,
  targetUpdateStrategy,
  thresholdRange,
  thresholdShorterThanWindow,
  weightBounds,
  weightOvershoot,
  wholeNumbers,
]

export const METRIC_TEMPLATE_RULES: readonly ObjectRule<MetricTemplate>[] = [
  metricProviderFields,
  metricProviderHost,
  metricProviderTls,
  templateFixedWindow,
  templateNamesNoTarget,
  templatePromql,
  templateSyntax,
]

export const ALERT_PROVIDER_RULES: readonly ObjectRule<AlertProvider>[] = [
  alertAddressInPlain,
  alertAddress,
  alertUrl,
  alertEmail,
]

/** Ids of all rules: what a policy may name. */
export const RULE_IDS: readonly string[] = [...RULES, ...METRIC_TEMPLATE_RULES, ...ALERT_PROVIDER_RULES].map((rule) => rule.id).sort()

/** What policies themselves demand, beyond the rules about single objects: severities and exemptions name them alike. */
export const POLICY_DEMANDS = {
  'policy-limits': 'deny', 'policy-required': 'deny', 'freeze-window': 'deny', 'known-bad-revision': 'warn',
} as const satisfies Readonly<Record<string, Severity>>

const DEFAULTS: Readonly<Record<string, Severity>> =
  { ...Object.fromEntries([...RULES, ...METRIC_TEMPLATE_RULES, ...ALERT_PROVIDER_RULES].map((rule) => [rule.id, rule.default])), ...POLICY_DEMANDS }
/** What a rule says where no policy speaks; undefined for a rule that does not exist. */
export const defaultSeverityOf = (rule: string): Severity | undefined => (Object.hasOwn(DEFAULTS, rule) ? DEFAULTS[rule] : undefined)
