import type { Rule } from '#policy/rule.ts'

export const oneStrategy: Rule = {
  id: 'one-strategy',
  default: 'deny',
  why: 'With two ways to advance one is silently ignored; with none the run starts and never moves.',
  covers: ['1.8.2', '10.2'],
  check({ spec: { analysis, gate } }) {
    const given = [
      ...(analysis.stepWeight === undefined ? [] : ['stepWeight']),
      ...(analysis.stepWeights === undefined ? [] : ['stepWeights']),
      ...(analysis.iterations === undefined ? [] : ['iterations']),
      ...(gate?.steps === undefined ? [] : ['spec.gate.steps']),
    ]
    if (given.length === 1) return []
    if (given.length === 0) {
      return [{
        field: 'spec.analysis',
        message: 'says nothing about how to advance',
        fix: 'give one of stepWeight (such as 10), stepWeights, or iterations for Blue/Green and A/B',
      }]
    }
    return [{ field: 'spec.analysis', message: `${given.join(' and ')} exclude each other`, fix: `keep one, such as ${given[0]}, and remove the rest` }]
  },
}
