import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'

/** One query of the rules or the dashboard, as Prometheus gets it. */
export type Expression = { readonly where: string; readonly text: string }

type Rule = { readonly alert: string; readonly expr: string; readonly annotations: Readonly<Record<string, string>> }
type Panel = { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }

export async function rules(): Promise<readonly Rule[]> {
  const { spec } = parse(await readFile('manifests/telemetry/prometheus-rule.yaml', 'utf8')) as { spec: { groups: readonly { rules: readonly Rule[] }[] } }
  return spec.groups.flatMap((group) => group.rules)
}

/** Every expression of `manifests/telemetry`, Grafana's variables filled in as Grafana does for "all". */
export async function expressions(): Promise<readonly Expression[]> {
  const { panels } = JSON.parse(await readFile('manifests/telemetry/dashboard.json', 'utf8')) as { panels: readonly Panel[] }
  return [
    ...(await rules()).map(({ alert, expr }) => ({ where: `alert ${alert}`, text: expr })),
    ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: `panel ${title}`, text: expr.replaceAll(/\$(?:namespace|name)\b/g, '.*') }))),
  ]
}
