/** Durations as Kubernetes users write them: Go's syntax, `30s`, `1m30s`, `500ms`. */

const UNIT_MS = { ns: 1e-6, us: 1e-3, 'µs': 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const
const WHOLE = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/
const PART = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g

/** The same few stand in all settings, which are read by many rules at each admission: what was parsed before is looked up. */
const parsed = new Map<string, number | undefined>()
const MAX_PARSED = 1_000

/** Milliseconds, or undefined when the text is no positive Go duration. `"0"` is 0. */
export function parseDuration(text: string): number | undefined {
  const known = parsed.get(text)
  if (known !== undefined || parsed.has(text)) return known
  const milliseconds = parse(text)
  if (parsed.size < MAX_PARSED) parsed.set(text, milliseconds)
  return milliseconds
}

function parse(text: string): number | undefined {
  if (text === '0') return 0
  if (!WHOLE.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(PART)) total += Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS]
  return total
}

/** `90000` as `1m30s`: the shortest way a person would write it. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)}ms`
  const seconds = Math.round(milliseconds / 1_000)
  const parts: [number, string][] = [
    [Math.floor(seconds / 3_600), 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ]
  return parts.filter(([amount]) => amount > 0).map(([amount, unit]) => `${amount}${unit}`).join('')
}

/** The same as an interval of an analysis can be written: its schema, Flagger's, knows no hours. `7500000` as `125m`. */
export function formatInterval(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1_000)
  return seconds < 3_600 ? formatDuration(milliseconds) : `${Math.floor(seconds / 60)}m${seconds % 60 === 0 ? '' : `${seconds % 60}s`}`
}
