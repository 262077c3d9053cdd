/** A metric's query with the values of its Canary. */

import type { Canary, CanaryMetric } from '#api/canary.ts'
import { apexName } from '#api/defaults.ts'
import type { MetricProviderType } from '#api/metric-template.ts'
import { queryLanguage, type QueryLanguage } from '#metrics/query-language.ts'
import { parseTemplate, renderTemplate, type RenderResult } from '#metrics/template.ts'

/** Of a metric that leaves its interval out. */
export const DEFAULT_WINDOW = '1m'

/** Names of the objects that some queries choose by. */
export const refsOf = ({ spec }: Pick<Canary, 'spec'>): { readonly ingress: string; readonly route: string } => ({
  ingress: spec.ingressRef?.name ?? spec.targetRef.name,
  route: spec.routeRef?.name ?? spec.targetRef.name,
})

/** The query as it is sent, or why there is none. */
export function renderQuery(query: string, canary: Canary, metric: CanaryMetric, language: QueryLanguage): RenderResult {
  const parsed = parseTemplate(query)
  if (!parsed.template) return { error: parsed.errors.join('; ') }
  return renderTemplate(parsed.template, {
    name: canary.metadata.name, namespace: canary.metadata.namespace ?? '', target: canary.spec.targetRef.name, service: apexName(canary),
    ...refsOf(canary), interval: metric.interval ?? DEFAULT_WINDOW, variables: metric.templateVariables ?? {}, language,
  })
}

/** Why a query of this provider cannot be made of its template and a metric's values. */
export const renderFault = (query: string, type: MetricProviderType, canary: Canary, metric: CanaryMetric): string | undefined =>
  renderQuery(query, canary, metric, queryLanguage(type)).error
