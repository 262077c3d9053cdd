import { MAX_WEIGHT, MIN_WEIGHT } from '#policy/bounds.ts'
import type { Finding, Rule } from '#policy/rule.ts'

export const stepWeightsRising: Rule = {
  id: 'step-weights-rising',
  default: 'deny',
  why: 'The list is walked by looking up the present weight: out of order, a run jumps to 100 or turns back, and an empty list never moves.',
  covers: ['10.3', '1.8.5', '1.8.6'],
  check({ spec: { analysis, gate } }) {
    return [
      ...faultsOf('spec.analysis.stepWeights', analysis.stepWeights),
      ...faultsOf('spec.gate.steps', gate?.steps?.map((step) => step.weight)),
    ]
  },
}

function faultsOf(field: string, weights: readonly number[] | undefined): Finding[] {
  if (weights === undefined) return []
  const list = `[${weights.join(', ')}]`
  if (weights.length === 0) return [{ field, message: 'is empty, so the canary would never get a request', fix: 'list the weights, such as 10, 25, 50' }]
  const inRange = weights.filter((weight) => weight >= MIN_WEIGHT && weight <= MAX_WEIGHT)
  const outside = weights.filter((weight) => !inRange.includes(weight))
  if (outside.length > 0) {
    return [{ field, message: `${outside.join(', ')} in ${list} is not between ${MIN_WEIGHT} and ${MAX_WEIGHT} percent`, fix: `use ${sorted(inRange)}` }]
  }
  if (weights.every((weight, i) => i === 0 || weight > (weights[i - 1] ?? 0))) return []
  return [{ field, message: `${list} does not rise from step to step`, fix: `use ${sorted(weights)}` }]
}

const sorted = (weights: readonly number[]): string => `[${[...new Set(weights)].sort((a, b) => a - b).join(', ') || '10, 25, 50'}]`
