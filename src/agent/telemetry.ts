import type { Canary, CanarySpec } from '#api/canary.ts'
import type { CheckedMetric } from '#api/measurement.ts'
import { objectKey } from '#api/objects.ts'
import { type ProcessUsage, renderUsage } from '#api/process-usage.ts'
import type { Caches } from '#agent/caches.ts'
import type { RequestRecord } from '#kube/client.ts'
import type { Queue } from '#kube/queue.ts'
import type { News } from '#rollout/decision.ts'
import { isAtRest, phaseOf } from '#rollout/status.ts'

/** The agent's own metrics, as Prometheus text. Flagger's names where Flagger has them, so that its dashboards and alerts go on working. */

export type Telemetry = {
  onRequest(record: RequestRecord): void
  /** One round of checks, and how long it took. */
  onChecked(canary: Canary, metrics: readonly CheckedMetric[], seconds: number): void
  onTold(canary: Canary, item: News): void
  onAlert(outcome: 'delivered' | 'lost'): void
  render(): string
}

export type TelemetrySources = {
  readonly caches: () => Caches | undefined
  readonly queue: () => Queue | undefined
  readonly isLeader: () => boolean
  /** Whether this agent looks after the Canary: each is told by one agent alone, or sums would count it twice. */
  readonly leads: (key: string) => boolean
  /** Of this process. */
  readonly usage: () => ProcessUsage
  readonly version: string
  readonly defaultProvider: string
}

/** The Go client's default buckets, which Flagger's histogram has. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const

type Rounds = { readonly counts: number[]; sum: number; count: number }

/** Labels and value. */
type Row = readonly [string, number]

/** Lines of one Canary's state, which are most of the page, and change only with it: an object out of the caches is never changed in place. */
type Lines = { readonly status: string; readonly weights: string; readonly run: string | undefined }

/** What is kept of one Canary that had a run since the start. */
type Run = { readonly rounds: Rounds; values: ReadonlyMap<string, number>; readonly endings: Map<string, number> }

export function createTelemetry(sources: TelemetrySources): Telemetry {
  const requests = new Map<string, number>()
  const alerts = { delivered: 0, lost: 0 }
  const answers = { 'value': 0, 'no-data': 0, 'unavailable': 0 }
  const rendered = new WeakMap<Canary, Lines>()
  function linesOf(canary: Canary): Lines {
    const known = rendered.get(canary)
    if (known) return known
    const lines = {
      status: lineOf('flagger_canary_status', [namesOf(canary), statusNumber(canary)]),
      weights: weightRows(canary).map((row) => lineOf('flagger_canary_weight', row)).join('\n'),
      run: runLine(canary),
    }
    rendered.set(canary, lines)
    return lines
  }
  const runs = new Map<string, Run>()
  const runOf = (canary: Canary): Run => {
    const key = objectKey(canary.metadata)
    // A counter that begins with its first event is no increase to Prometheus, so each is there, at 0, before a run can end.
    const run = runs.get(key) ?? {
      rounds: { counts: BUCKETS.map(() => 0), sum: 0, count: 0 }, values: new Map(), endings: new Map([[endingOf('successes:', canary), 0], [endingOf('failures:', canary), 0]]),
    }
    runs.set(key, run)
    return run
  }
  /** Rows of the Canaries that had a run: few of those that there are. One that is gone takes its series along. */
  function runRows(rows: (run: Run, names: string) => readonly Row[]): Row[] {
    return [...runs].flatMap(([key, run]) => {
      const canary = sources.caches()?.canary(key)
      if (!canary) runs.delete(key)
      return canary && sources.leads(key) ? rows(run, namesOf(canary)) : []
    })
  }
  const endingRows = (family: string) => ({ endings }: Run, names: string) =>
    [...endings].filter(([ending]) => ending.startsWith(family)).map(([ending, count]) => [`${names},${ending.slice(family.length)}`, count] as const)
  return {
    onChecked(canary, metrics, seconds) {
      const run = runOf(canary)
      const { rounds } = run
      const bucket = BUCKETS.findIndex((limit) => seconds <= limit)
      if (bucket >= 0) rounds.counts[bucket] = (rounds.counts[bucket] ?? 0) + 1
      rounds.sum += seconds
      rounds.count += 1
      for (const { measurement } of metrics) answers[measurement.kind] += 1
      // What is not measured any more is not told either. Flagger gives durations in seconds.
      run.values = new Map(metrics.flatMap(({ name, measurement }) =>
        (measurement.kind === 'value' ? [[name, name === 'request-duration' ? measurement.value / 1_000 : measurement.value] as const] : [])))
    },
    onTold(canary, { reason }) {
      const family = SUCCEEDED.includes(reason) ? 'successes:' : FAILED.includes(reason) ? 'failures:' : undefined
      if (!family && reason !== 'CanaryStarted') return
      const { endings } = runOf(canary)
      if (!family) return
      const ending = endingOf(family, canary)
      endings.set(ending, (endings.get(ending) ?? 0) + 1)
    },
    onAlert(outcome) {
      alerts[outcome] += 1
    },
    onRequest({ verb, resource, status }) {
      const labels = `verb="${verb}",resource="${resource}",status="${status}"`
      requests.set(labels, (requests.get(labels) ?? 0) + 1)
    },
    render() {
      const lines: string[] = []
      const head = (name: string, type: string, help: string): number => lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
      const family = (name: string, type: string, help: string, rows: readonly Row[]): void => {
        head(name, type, help)
        for (const row of rows) lines.push(lineOf(name, row))
      }
      const canaries = (sources.caches()?.canaries() ?? []).filter(({ metadata }) => sources.leads(objectKey(metadata)))
      family('flagger_info', 'gauge', 'Version and default provider.', [[`version="${escapeLabel(sources.version)}",mesh_provider="${escapeLabel(sources.defaultProvider)}"`, 1]])
      family('flagger_canary_total', 'gauge', 'Canaries by namespace.', countByNamespace(canaries))
      head('flagger_canary_status', 'gauge', 'Last known status of a Canary: 0 Progressing, 2 Failed, 1 anything else.')
      for (const canary of canaries) lines.push(linesOf(canary).status)
      head('flagger_canary_weight', 'gauge', 'Percent of live requests by workload.')
      for (const canary of canaries) lines.push(linesOf(canary).weights)
      head('canarygate_run_phase_timestamp_seconds', 'gauge', 'Since when a Canary with a run under way is in its phase, in Unix time.')
      for (const canary of canaries) {
        const { run } = linesOf(canary)
        if (run !== undefined) lines.push(run)
      }
      family('flagger_canary_metric_analysis', 'gauge', 'Last value of a metric of an analysis.', runRows(({ values }, names) =>
        [...values].map(([metric, value]) => [`${names},metric="${escapeLabel(metric)}"`, value])))
      family('flagger_canary_successes_total', 'counter', 'Runs that ended in a promotion.', runRows(endingRows('successes:')))
      family('flagger_canary_failures_total', 'counter', 'Runs that were rolled back, or whose promotion failed.', runRows(endingRows('failures:')))
      head('flagger_canary_duration_seconds', 'histogram', 'Time that a round of checks took.')
      for (const [labels, value] of runRows(roundRows)) lines.push(`flagger_canary_duration_seconds${labels} ${value}`)
      const stats = sources.queue()?.stats()
      family('canarygate_leader', 'gauge', '1 on the agent that leads.', [['', sources.isLeader() ? 1 : 0]])
      family('canarygate_queue_depth', 'gauge', 'Canaries that are due and wait for a turn.', [['', stats?.depth ?? 0]])
      family('canarygate_queue_adds_total', 'counter', 'Turns asked for.', [['', stats?.adds ?? 0]])
      family('canarygate_queue_retries_total', 'counter', 'Turns repeated after a fault.', [['', stats?.retries ?? 0]])
      family('canarygate_alerts_total', 'counter', 'Alerts by whether their receiver took them.', Object.entries(alerts).map(([outcome, count]) => [`outcome="${outcome}"`, count]))
      family('canarygate_metric_answers_total', 'counter', 'Answers of metric sources to checks, by kind.', Object.entries(answers).map(([kind, count]) => [`kind="${kind}"`, count]))
      family('canarygate_api_requests_total', 'counter', 'Requests to the API server.', [...requests])
      return `${lines.join('\n')}\n${renderUsage(sources.usage())}`
    },
  }
}

const lineOf = (name: string, [labels, value]: Row): string => `${name}${labels === '' ? '' : `{${labels}}`} ${textOf(value)}`
const textOf = (value: number): string => (Math.abs(value) === Infinity ? `${value > 0 ? '+' : '-'}Inf` : String(value))

const SUCCEEDED: readonly string[] = ['CanarySucceeded']
const FAILED: readonly string[] = ['CanaryRolledBack', 'CanaryPromotionFailed']

/** The family, and the labels of a counter of it. */
function endingOf(family: 'successes:' | 'failures:', { spec }: Canary): string {
  const isSkipped = family === 'successes:' && spec.skipAnalysis === true
  return `${family}deployment_strategy="${strategyOf(spec)}",analysis_status="${isSkipped ? 'skipped' : 'completed'}"`
}

/** As Flagger names them. */
function strategyOf({ analysis, gate }: CanarySpec): 'canary' | 'ab-testing' | 'blue-green' {
  if ((analysis.match ?? []).length > 0) return 'ab-testing'
  return gate?.steps !== undefined || (analysis.stepWeight ?? 0) > 0 || (analysis.stepWeights ?? []).length > 0 ? 'canary' : 'blue-green'
}

function roundRows({ rounds }: Run, names: string): Row[] {
  let below = 0
  const buckets = BUCKETS.map((limit, i) => {
    below += rounds.counts[i] ?? 0
    return [`_bucket{${names},le="${limit}"}`, below] as const
  })
  return [...buckets, [`_bucket{${names},le="+Inf"}`, rounds.count], [`_sum{${names}}`, rounds.sum], [`_count{${names}}`, rounds.count]]
}

const escapeLabel = (text: string): string => text.replaceAll('\\', String.raw`\\`).replaceAll('"', String.raw`\"`).replaceAll('\n', String.raw`\n`)

/** Nothing that a team may write as a name can end the page for everybody. */
const namesOf = (canary: Canary): string => `name="${escapeLabel(canary.spec.targetRef.name)}",namespace="${canary.metadata.namespace ?? ''}"`

function countByNamespace(canaries: readonly Canary[]): Row[] {
  const counts = new Map<string, number>()
  for (const { metadata } of canaries) counts.set(metadata.namespace ?? '', (counts.get(metadata.namespace ?? '') ?? 0) + 1)
  return [...counts].map(([namespace, count]) => [`namespace="${namespace}"`, count])
}

function statusNumber(canary: Canary): number {
  const phase = phaseOf(canary.status ?? {})
  return phase === 'Failed' ? 2 : phase === 'Progressing' ? 0 : 1
}

function runLine(canary: Canary): string | undefined {
  const { status = {} } = canary
  const since = Date.parse(status.gate?.changedAt ?? '')
  if (isAtRest(status) || Number.isNaN(since)) return undefined
  return lineOf('canarygate_run_phase_timestamp_seconds', [`${namesOf(canary)},phase="${phaseOf(status)}"`, since / 1_000])
}

function weightRows(canary: Canary): Row[] {
  const name = escapeLabel(canary.spec.targetRef.name)
  const weight = canary.status?.canaryWeight ?? 0
  const row = (workload: string, percent: number) => [`workload="${workload}",namespace="${canary.metadata.namespace ?? ''}"`, percent] as const
  return [row(`${name}-primary`, 100 - weight), row(name, weight)]
}
