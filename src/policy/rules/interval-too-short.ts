import { formatDuration, parseDuration } from '#api/duration.ts'
import { ANNOTATION_SHORT_INTERVAL } from '#policy/annotations.ts'
import { MIN_INTERVAL_SECONDS } from '#policy/bounds.ts'
import type { Rule } from '#policy/rule.ts'

export const intervalTooShort: Rule = {
  id: 'interval-too-short',
  default: 'deny',
  why: 'Between two checks no metric can have changed: the canary walks through its steps unjudged. Flagger silently waits 10s instead.',
  covers: ['10.5'],
  check({ metadata, spec: { analysis, gate } }) {
    const allowed = metadata.annotations?.[ANNOTATION_SHORT_INTERVAL] === 'true'
    const texts = [
      ['spec.analysis.interval', analysis.interval] as const,
      ...(gate?.steps ?? []).map((step, i) => [`spec.gate.steps[${i}].interval`, step.interval] as const),
      ...(analysis.metrics ?? []).map((metric, i) => [`spec.analysis.metrics[${i}].interval`, metric.interval] as const),
    ]
    return texts.flatMap(([field, text]) => {
      const ms = parseDuration(text ?? '')
      if (ms === undefined || ms <= 0 || ms >= MIN_INTERVAL_SECONDS * 1_000) return []
      return [{
        field,
        message: `${formatDuration(ms)} is less than ${MIN_INTERVAL_SECONDS}s`,
        fix: allowed
          ? `use 30s or more outside of tests: ${ANNOTATION_SHORT_INTERVAL} allows it here`
          : `use 30s or more; for a test, annotate the Canary with ${ANNOTATION_SHORT_INTERVAL}: "true"`,
        ...(allowed ? { severity: 'warn' as const } : {}),
      }]
    })
  },
}
