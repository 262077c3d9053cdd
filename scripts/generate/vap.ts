import { stringify } from 'yaml'
import { COMMAND_ANNOTATIONS } from '#api/commands.ts'
import { FLAGGER_GROUP } from '#api/names.ts'
import { ANNOTATION_SHORT_INTERVAL } from '#policy/annotations.ts'
import { MAX_ITERATIONS } from '#api/defaults.ts'
import { MAX_PORT, MAX_WEIGHT, MIN_INTERVAL_SECONDS, MIN_THRESHOLD, MIN_WEIGHT } from '#policy/bounds.ts'
import { writeOrCheck, type GeneratedFile } from './files.ts'

/**
 * Writes the bounds that need neither cluster nor policy as ValidatingAdmissionPolicies: the API server itself holds them while the
 * webhook is down. Only what is denied whatever a policy says; the intervals are a policy of their own, since a ClusterCanaryPolicy
 * may soften them, and then their binding has to go.
 */

export type Validation = { readonly rule: string; readonly expression: string; readonly message: string; readonly messageExpression?: string }

const A = 'variables.analysis'
const within = (field: string, least: number, most: number): string => `!has(${A}.${field}) || (${A}.${field} >= ${least} && ${A}.${field} <= ${most})`
const range = (rule: string, field: string, least: number, most: number): Validation => ({
  rule,
  expression: within(field, least, most),
  message: `spec.analysis.${field}: is not between ${least} and ${most}`,
  messageExpression: `'spec.analysis.${field}: ' + string(${A}.${field}) + ' is not between ${least} and ${most}; use a number between them'`,
})
const DURATION = '^([0-9]+([.][0-9]+)?(ms|s|m|h))+$'
const metricsOf = (name: string): string => `(has(${A}.metrics) ? ${A}.metrics : []).filter(m, m.name == '${name}' && !has(m.query) && !has(m.templateRef))`

export const STATIC_VALIDATIONS: readonly Validation[] = [
  {
    rule: 'one-strategy',
    expression: `[has(${A}.stepWeight), has(${A}.stepWeights), has(${A}.iterations), has(object.spec.gate) && has(object.spec.gate.steps)].filter(x, x).size() == 1`,
    message: 'spec.analysis: needs exactly one of stepWeight, stepWeights, iterations and spec.gate.steps',
  },
  range('weight-bounds', 'stepWeight', MIN_WEIGHT, MAX_WEIGHT),
  range('weight-bounds', 'maxWeight', MIN_WEIGHT, MAX_WEIGHT),
  range('weight-bounds', 'stepWeightPromotion', 0, MAX_WEIGHT),
  range('weight-bounds', 'mirrorWeight', 0, MAX_WEIGHT),
  range('ready-threshold-range', 'primaryReadyThreshold', MIN_WEIGHT, MAX_WEIGHT),
  range('ready-threshold-range', 'canaryReadyThreshold', MIN_WEIGHT, MAX_WEIGHT),
  {
    rule: 'step-above-max',
    expression: `!has(${A}.stepWeight) || !has(${A}.maxWeight) || ${A}.maxWeight < 1 || ${A}.stepWeight <= ${A}.maxWeight`,
    message: 'spec.analysis.stepWeight: is more than maxWeight',
    messageExpression: `'spec.analysis.stepWeight: ' + string(${A}.stepWeight) + ' is more than maxWeight; use at most ' + string(${A}.maxWeight)`,
  },
  {
    rule: 'step-weights-rising',
    expression: `!has(${A}.stepWeights) || (size(${A}.stepWeights) > 0 && ${A}.stepWeights.isSorted() && ${A}.stepWeights.all(w, w >= ${MIN_WEIGHT} && w <= ${MAX_WEIGHT} && ${A}.stepWeights.exists_one(x, x == w)))`,
    message: `spec.analysis.stepWeights: has to rise from step to step, within ${MIN_WEIGHT} and ${MAX_WEIGHT}, such as [10, 25, 50]`,
  },
  {
    rule: 'threshold-range',
    expression: `!has(${A}.threshold) || ${A}.threshold >= ${MIN_THRESHOLD}`,
    message: `spec.analysis.threshold: is less than ${MIN_THRESHOLD}; use 3 to 5`,
  },
  {
    rule: 'threshold-range',
    expression: `!has(${A}.iterations) || (${A}.iterations >= 1 && ${A}.iterations <= ${MAX_ITERATIONS})`,
    message: `spec.analysis.iterations: is not between 1 and ${MAX_ITERATIONS}; use 10, or stepWeight instead`,
  },
  {
    rule: 'match-needs-iterations',
    expression: `!has(${A}.match) || size(${A}.match) == 0 || (has(${A}.iterations) && ${A}.iterations >= 1)`,
    message: 'spec.analysis.match: needs iterations: it chooses requests for an A/B test',
  },
  {
    rule: 'interval-format',
    expression: `!has(${A}.interval) || ${A}.interval.matches('${DURATION}')`,
    message: 'spec.analysis.interval: is no duration; write it like 30s or 1m',
  },
  {
    rule: 'metric-interval-format',
    expression: `!has(${A}.metrics) || ${A}.metrics.all(m, !has(m.interval) || m.interval.matches('${DURATION}'))`,
    message: 'spec.analysis.metrics: an interval is no duration; write it like 30s or 1m',
  },
  {
    rule: 'metric-threshold',
    expression: `!has(${A}.metrics) || ${A}.metrics.all(m, has(m.threshold) || (has(m.thresholdRange) && (has(m.thresholdRange.min) || has(m.thresholdRange.max))))`,
    message: 'spec.analysis.metrics: a metric has no bound; add thresholdRange with min or max',
  },
  {
    rule: 'success-rate-bounds',
    expression: `${metricsOf('request-success-rate')}.all(m, !has(m.thresholdRange) || !has(m.thresholdRange.min) || (double(m.thresholdRange.min) > 1.0 && double(m.thresholdRange.min) <= 100.0))`,
    message: 'spec.analysis.metrics: the minimum of request-success-rate is a percentage, such as 99',
  },
  {
    rule: 'request-duration-bounds',
    expression: `${metricsOf('request-duration')}.all(m, !has(m.thresholdRange) || !has(m.thresholdRange.max) || double(m.thresholdRange.max) >= 1.0)`,
    message: 'spec.analysis.metrics: the maximum of request-duration is in milliseconds, such as 500',
  },
  {
    rule: 'hook-address',
    expression: `!has(${A}.webhooks) || ${A}.webhooks.all(w, isURL(w.url) && url(w.url).getScheme() in ['http', 'https'] && url(w.url).getHostname() != '')`,
    message: 'spec.analysis.webhooks: a url is no absolute http(s) URL',
  },
  {
    rule: 'hook-retries',
    expression: `!has(${A}.webhooks) || ${A}.webhooks.all(w, !has(w.retries) || w.retries >= 0)`,
    message: 'spec.analysis.webhooks: retries is negative; use 0 for a single attempt',
  },
  {
    rule: 'service-port',
    expression: `!has(object.spec.service) || (object.spec.service.port >= 1 && object.spec.service.port <= ${MAX_PORT})`,
    message: `spec.service.port: is not between 1 and ${MAX_PORT}`,
  },
  {
    rule: 'target-name',
    expression: '!object.spec.targetRef.name.endsWith(\'-primary\')',
    message: 'spec.targetRef.name: is what a primary is called; name the workload that you change',
  },
  {
    rule: 'delegation',
    expression: '!has(object.spec.service) || !has(object.spec.service.delegation) || !object.spec.service.delegation || ((!has(object.spec.service.hosts) || size(object.spec.service.hosts) == 0) && (!has(object.spec.service.gateways) || size(object.spec.service.gateways) == 0))',
    message: 'spec.service: a delegate has neither hosts nor gateways',
  },
]

export const INTERVAL_VALIDATIONS: readonly Validation[] = [
  {
    rule: 'interval-too-short',
    expression: `!has(${A}.interval) || !${A}.interval.matches('${DURATION}') || duration(${A}.interval) >= duration('${MIN_INTERVAL_SECONDS}s')`,
    message: `spec.analysis.interval: is less than ${MIN_INTERVAL_SECONDS}s; use 30s or more, or for a test annotate the Canary with ${ANNOTATION_SHORT_INTERVAL}: "true"`,
  },
]

function policyOf(name: string, validations: readonly Validation[], conditions: readonly { name: string; expression: string }[] = []): object[] {
  return [
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: { resourceRules: [{ apiGroups: [FLAGGER_GROUP], apiVersions: ['v1beta1'], operations: ['CREATE', 'UPDATE'], resources: ['canaries'] }] },
        matchConditions: [
          // What was stored under older rules must still lose its finalizer and get its annotations.
          { name: 'alive', expression: '!has(object.metadata.deletionTimestamp)' },
          { name: 'changed', expression: 'request.operation == \'CREATE\' || object.spec != oldObject.spec' },
          ...conditions,
        ],
        variables: [{ name: 'analysis', expression: 'object.spec.analysis' }],
        validations: validations.map(({ rule, expression, message, messageExpression }) => ({
          expression,
          message: `${message} (${rule})`,
          ...(messageExpression ? { messageExpression: `${messageExpression} + ' (${rule})'` } : {}),
          reason: 'Invalid',
        })),
      },
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name },
      spec: { policyName: name, validationActions: ['Deny'] },
    },
  ]
}

/**
 * A command's author is the user who writes it: the webhook signs, and this holds while it is away. An unsigned command passes; where a
 * policy enforces authority, the agent does not obey it.
 */
export function authorsPolicy(): readonly object[] {
  const name = 'canarygate-authors'
  const on = (which: string, key: string): string => `${which}.metadata.?annotations[?(${key})]`
  const isChanged = (key: string): string => `(request.operation == 'CREATE' ? ${on('object', key)}.hasValue() : ${on('object', key)} != ${on('oldObject', key)})`
  const commands = `[${COMMAND_ANNOTATIONS.map((command) => `'${command}'`).join(', ')}]`
  const resources = (group: string, version: string, ...names: string[]) =>
    ({ apiGroups: [group], apiVersions: [version], operations: ['CREATE', 'UPDATE'], resources: names })
  return [
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: { resourceRules: [resources(FLAGGER_GROUP, 'v1beta1', 'canaries'), resources('apps', 'v1', 'deployments', 'daemonsets')] },
        matchConditions: [
          { name: 'not-the-agent', expression: 'request.userInfo.username != \'system:serviceaccount:canarygate:canarygate-agent\'' },
          { name: 'commands-change', expression: `${commands}.exists(command, ['', '-by', '-groups', '-at'].exists(part, ${isChanged('command + part')}))` },
        ],
        validations: [
          {
            expression: `${commands}.all(command, !${isChanged('command + \'-at\'')} || ${on('object', 'command + \'-by\'')}.orValue(request.userInfo.username) == request.userInfo.username)`,
            message: 'metadata.annotations: nobody says for somebody else when a command was given (command-author)',
            reason: 'Forbidden',
          },
          {
            expression: `${commands}.all(command, !${isChanged('command + \'-by\'')} || ${on('object', 'command + \'-by\'')}.orValue(request.userInfo.username) == request.userInfo.username)`,
            message: 'metadata.annotations: nobody signs a command for somebody else (command-author)',
            reason: 'Forbidden',
          },
          {
            expression: `${commands}.all(command, !${isChanged('command + \'-groups\'')} || ${on('object', 'command + \'-groups\'')}.orValue(request.userInfo.groups.join('\\n')) == request.userInfo.groups.join('\\n'))`,
            message: 'metadata.annotations: nobody signs a command with groups that are not their own (command-author)',
            reason: 'Forbidden',
          },
          {
            expression: `${commands}.all(command, !${isChanged('command')} || !${on('object', 'command')}.hasValue() || ${on('object', 'command + \'-by\'')}.orValue(request.userInfo.username) == request.userInfo.username)`,
            message: 'metadata.annotations: the command is signed by somebody else; take that signature off first (command-author)',
            reason: 'Forbidden',
          },
        ],
      },
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name },
      spec: { policyName: name, validationActions: ['Deny'] },
    },
  ]
}

export function admissionPolicies(): readonly object[] {
  return [
    ...policyOf('canarygate-static', STATIC_VALIDATIONS),
    ...policyOf('canarygate-interval', INTERVAL_VALIDATIONS, [{
      name: 'not-for-a-test',
      expression: `!has(object.metadata.annotations) || !('${ANNOTATION_SHORT_INTERVAL}' in object.metadata.annotations) || object.metadata.annotations['${ANNOTATION_SHORT_INTERVAL}'] != 'true'`,
    }]),
    ...authorsPolicy(),
  ]
}

export const vapFile = (): GeneratedFile => ({
  path: 'manifests/install/policy/validating-admission-policy.yaml',
  text: [
    '# Generated from src/policy by scripts/generate/vap.ts; edits are lost.',
    '# The bounds of the rules that need neither cluster nor policy, held by the API server itself while the webhook is down.',
    '# Where a ClusterCanaryPolicy softens interval-too-short, leave out the binding canarygate-interval.',
    admissionPolicies().map((one) => stringify(one, { lineWidth: 0 })).join('---\n'),
  ].join('\n'),
})

if (import.meta.main) process.exitCode = writeOrCheck([vapFile()])
