import { parseDuration } from '#api/duration.ts'
import type { Rule } from '#policy/rule.ts'

export const intervalFormat: Rule = {
  id: 'interval-format',
  default: 'deny',
  why: 'Flagger reads an interval that it does not understand as 60s, without a word.',
  covers: ['10.5'],
  check({ spec: { analysis, gate } }) {
    const texts = [
      ['spec.analysis.interval', analysis.interval] as const,
      ...(gate?.steps ?? []).map((step, i) => [`spec.gate.steps[${i}].interval`, step.interval] as const),
    ]
    return texts.flatMap(([field, text]) => (text === undefined || (parseDuration(text) ?? 0) > 0 ? [] : [{
      field, message: `"${text}" is no positive duration`, fix: 'write it like 30s, 1m or 1m30s',
    }]))
  },
}
