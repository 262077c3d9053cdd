/** What the load tester counts, as Prometheus text. */

type Labels = Readonly<Record<string, string>>

export type Meters = {
  request(canary: { readonly name: string; readonly namespace: string }, status: number, seconds: number): void
  command(type: string, outcome: 'done' | 'failed' | 'refused' | 'skipped' | 'dropped'): void
  render(gauges: { readonly running: number; readonly waiting: number; readonly openGates: number }): string
}

/** Names come from whoever calls: the series are bounded, and what is beyond is counted together. */
const MAX_SERIES = 1_000
const OTHERS = 'others'
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const

type Durations = { readonly labels: Labels; readonly counts: number[]; sum: number; count: number }

export function createMeters(): Meters {
  const requests = new Map<string, { readonly labels: Labels; value: number }>()
  const durations = new Map<string, Durations>()
  const commands = new Map<string, { readonly labels: Labels; value: number }>()

  return {
    request({ name, namespace }, status, seconds) {
      const code = status === 0 ? 'error' : String(status)
      count(requests, { name, namespace, code }, { name: OTHERS, namespace: OTHERS, code })
      // A fault's duration says how long somebody waited, not how fast the target is.
      if (status !== 0) observe(durations, { name, namespace }, { name: OTHERS, namespace: OTHERS }, seconds)
    },
    command: (type, outcome) => count(commands, { type, outcome }, { type: OTHERS, outcome }),
    render: ({ running, waiting, openGates }) => [
      ...family('canarygate_loadtest_requests_total', 'counter', 'Requests sent, by Canary and status code.', rows(requests)),
      ...family('canarygate_loadtest_request_duration_seconds', 'histogram', 'Time to the end of an answer.', [...durations.values()].flatMap(histogramRows)),
      ...family('canarygate_loadtest_commands_total', 'counter', 'Commands by task type and outcome.', rows(commands)),
      ...family('canarygate_loadtest_commands_running', 'gauge', 'Commands that run.', [['', {}, running]]),
      ...family('canarygate_loadtest_commands_waiting', 'gauge', 'Commands that wait for a place.', [['', {}, waiting]]),
      ...family('canarygate_loadtest_gates_open', 'gauge', 'Gates that are open, rollback gates included.', [['', {}, openGates]]),
      '',
    ].join('\n'),
  }
}

type Row = readonly [suffix: string, labels: Labels, value: number]

function family(name: string, type: string, help: string, all: readonly Row[]): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...all.map(([suffix, labels, value]) => `${name}${suffix}${renderLabels(labels)} ${value}`)]
}

const rows = (series: ReadonlyMap<string, { readonly labels: Labels; readonly value: number }>): Row[] =>
  [...series.values()].map(({ labels, value }) => ['', labels, value])

function histogramRows({ labels, counts, sum, count: total }: Durations): Row[] {
  let below = 0
  const buckets = BUCKETS.map((limit, index): Row => {
    below += counts[index] ?? 0
    return ['_bucket', { ...labels, le: String(limit) }, below]
  })
  return [...buckets, ['_bucket', { ...labels, le: '+Inf' }, total], ['_sum', labels, sum], ['_count', labels, total]]
}

const keyOf = (labels: Labels): string => JSON.stringify(Object.values(labels))

function count(series: Map<string, { readonly labels: Labels; value: number }>, wanted: Labels, others: Labels): void {
  const labels = series.has(keyOf(wanted)) || series.size < MAX_SERIES ? wanted : others
  const entry = series.get(keyOf(labels)) ?? { labels, value: 0 }
  entry.value += 1
  series.set(keyOf(labels), entry)
}

function observe(series: Map<string, Durations>, wanted: Labels, others: Labels, seconds: number): void {
  const labels = series.has(keyOf(wanted)) || series.size < MAX_SERIES ? wanted : others
  const entry = series.get(keyOf(labels)) ?? { labels, counts: BUCKETS.map(() => 0), sum: 0, count: 0 }
  const bucket = BUCKETS.findIndex((limit) => seconds <= limit)
  if (bucket >= 0) entry.counts[bucket] = (entry.counts[bucket] ?? 0) + 1
  entry.sum += seconds
  entry.count += 1
  series.set(keyOf(labels), entry)
}

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', String.raw`\"`).replaceAll('\n', String.raw`\n`)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}
