import { parser } from '@prometheus-io/lezer-promql'

/** What a query in PromQL does wrong, in words; empty when nothing is found. It is not type-checked beyond what is told here. */
export type PromqlFault = { readonly message: string; readonly fix: string; readonly severity: 'deny' | 'warn' }

const COUNTER = /(_total|_count|_sum|_bucket)$/
const OVER_RANGE = /^(rate|irate|increase|delta|idelta|deriv|changes|resets|absent_over_time|\w+_over_time|predict_linear|holt_winters|double_exponential_smoothing)$/i

/**
 * Most characters that are parsed for one object. A hostile 8 KB costs some tens of milliseconds, on the path that all admission shares;
 * real queries are some hundred characters. What is longer is left to the metrics server's own judgement.
 */
export const MAX_PARSED_CHARS = 8_192

export function promqlFaults(query: string): readonly PromqlFault[] {
  if (query.length > MAX_PARSED_CHARS) return []
  if (query.trim() === '') return [{ message: 'is empty', fix: 'write a query that returns one number', severity: 'deny' }]
  const tree = parser.parse(query)
  const faults: PromqlFault[] = []
  const counters = new Set<string>()
  let errorAt: number | undefined
  let ranges = 0
  let inRange = 0
  tree.iterate({
    enter(node) {
      if (node.type.isError) errorAt ??= node.from
      if (node.name === 'MatrixSelector' || node.name === 'SubqueryExpr') ranges += 1
      if (node.name === 'FunctionCall') {
        const name = query.slice(node.from, query.indexOf('(', node.from)).trim()
        if (OVER_RANGE.test(name)) inRange += 1
      }
      if (node.name === 'Identifier' && inRange === 0 && node.node.parent?.name === 'VectorSelector') {
        const metric = query.slice(node.from, node.to)
        if (COUNTER.test(metric)) counters.add(metric)
      }
    },
    leave(node) {
      if (node.name !== 'FunctionCall') return
      const name = query.slice(node.from, query.indexOf('(', node.from)).trim()
      if (OVER_RANGE.test(name)) inRange -= 1
    },
  })
  if (errorAt !== undefined) {
    const near = query.slice(Math.max(0, errorAt - 15), errorAt + 15).replaceAll(/\s+/g, ' ').trim()
    return [{ message: `is not valid PromQL at character ${errorAt + 1}, near "${near}"`, fix: 'correct it, for example in Prometheus\' own console', severity: 'deny' }]
  }
  const top = tree.topNode.firstChild
  if (top?.name === 'NumberDurationLiteral' || top?.name === 'NumberLiteral' || top?.name === 'StringLiteral') {
    faults.push({ message: 'is a constant, which Prometheus answers as a scalar', fix: 'wrap it: vector(...)', severity: 'deny' })
  }
  if (top?.name === 'MatrixSelector' || top?.name === 'SubqueryExpr') {
    faults.push({ message: 'returns a range of values instead of one', fix: 'put rate(...) or avg_over_time(...) around it', severity: 'deny' })
  }
  if (ranges === 0) {
    for (const counter of counters) {
      faults.push({ message: `uses the counter ${counter} as it is: it only ever grows`, fix: `use rate(${counter}[...])`, severity: 'warn' })
    }
  }
  return faults
}
