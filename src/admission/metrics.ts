/** Counters in Prometheus' text format: enough for one server, with nothing to start and nothing to flush. */

type Labels = Readonly<Record<string, string>>

/** Series of one name: rules by severity in some dozens of namespaces. What is beyond is counted together, so that made-up labels cannot fill the memory and nothing is lost. */
const MAX_SERIES = 2_000
const OTHERS = 'others'

/** Seconds: most answers take well under one millisecond, and the API server gives up after 2 to 5 seconds. */
const BUCKETS = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const

export type Counter = { add(labels: Labels, by?: number): void; render(): string }
export type Gauge = { readonly name: string; readonly help: string; readonly read: () => number | undefined }
export type Histogram = { observe(label: string, seconds: number): void; render(): string }

export function createCounter(name: string, help: string): Counter {
  const series = new Map<string, { readonly labels: Labels; value: number }>()
  let rest: { readonly labels: Labels; value: number } | undefined
  return {
    add(labels, by = 1) {
      // Escaping is left to `render`: it would cost more than the count.
      const key = Object.values(labels).join('\n')
      const entry = series.get(key)
      if (entry !== undefined) entry.value += by
      else if (series.size < MAX_SERIES) series.set(key, { labels, value: by })
      else {
        rest ??= { labels: Object.fromEntries(Object.keys(labels).map((label) => [label, OTHERS])), value: 0 }
        rest.value += by
      }
    },
    render: () => header(name, help, 'counter') + [...series.values(), ...(rest ? [rest] : [])].map(({ labels, value }) => `${name}${renderLabels(labels)} ${value}\n`).join(''),
  }
}

/** A histogram over one label. */
export function createHistogram(name: string, help: string, label: string): Histogram {
  const series = new Map<string, { readonly counts: number[]; sum: number; count: number }>()
  return {
    observe(value, seconds) {
      let entry = series.get(value)
      if (entry === undefined) {
        if (series.size >= MAX_SERIES) return
        entry = { counts: BUCKETS.map(() => 0), sum: 0, count: 0 }
        series.set(value, entry)
      }
      const bucket = BUCKETS.findIndex((limit) => seconds <= limit)
      if (bucket >= 0) entry.counts[bucket] = (entry.counts[bucket] ?? 0) + 1
      entry.sum += seconds
      entry.count += 1
    },
    render() {
      const lines: string[] = []
      for (const [value, { counts, sum, count }] of series) {
        let below = 0
        for (const [index, limit] of BUCKETS.entries()) {
          below += counts[index] ?? 0
          lines.push(`${name}_bucket${renderLabels({ [label]: value, le: String(limit) })} ${below}\n`)
        }
        const labels = renderLabels({ [label]: value })
        lines.push(`${name}_bucket${renderLabels({ [label]: value, le: '+Inf' })} ${count}\n`, `${name}_sum${labels} ${sum}\n`, `${name}_count${labels} ${count}\n`)
      }
      return header(name, help, 'histogram') + lines.join('')
    },
  }
}

export function renderGauge({ name, help, read }: Gauge): string {
  const value = read()
  return value === undefined ? '' : `${header(name, help, 'gauge')}${name} ${value}\n`
}

const header = (name: string, help: string, type: string): string => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`)
  return `{${pairs.join(',')}}`
}
