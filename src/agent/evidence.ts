import { gunzipSync, gzipSync } from 'node:zlib'
import type { CanaryStatus } from '#api/canary.ts'
import type { JudgeConfig } from '#judge/config.ts'
import { isClumping, isStateOf, type JudgeState, type Memory } from '#judge/state.ts'
import type { EmbeddedState } from '#metrics/embedded.ts'

/** What the judge knows, as text for the Canary's status: another agent goes on from it, exactly. */

/** What is read back at each poll: the counters of the last one, so that the stretch since then is not lost. */
type Counters = Pick<EmbeddedState, 'baseline' | 'bounds' | 'misses'>

/** Of another version nothing is read: a run in mid-upgrade judges afresh from there. */
const VERSION = 1
/** What a status may spend on evidence (characters): many bounds and hundreds of pods would go beyond it, and then the counters stay out. */
const MOST_CHARACTERS = 32_000
/** Nothing that this agent wrote grows beyond it (bytes). */
const MOST_BYTES = 1_000_000

export function writeEvidence(state: JudgeState, { baseline, bounds, misses }: EmbeddedState): string {
  const whole = packed({ version: VERSION, state, counters: { ...(baseline ? { baseline } : {}), bounds, misses } })
  return whole.length <= MOST_CHARACTERS ? whole : packed({ version: VERSION, state, counters: { bounds, misses: {} } })
}

/** Undefined: nothing usable is written down. */
export function readEvidence(status: CanaryStatus | undefined, configFor: (bounds: readonly number[]) => JudgeConfig): { readonly state: JudgeState; readonly config: JudgeConfig; readonly counters: Counters } | undefined {
  const found = unpacked(status?.gate?.judge?.state)
  if (!isRecord(found) || found['version'] !== VERSION || !isCounters(found['counters'])) return undefined
  const config = configFor(found['counters'].bounds)
  return isStateOf(found['state'], config) ? { state: found['state'], config, counters: found['counters'] } : undefined
}

export const writeMemory = (memory: Memory): string => packed(memory)

export function readMemory(status: CanaryStatus | undefined): Memory {
  const found = unpacked(status?.gate?.judge?.memory)
  return isRecord(found) && Object.values(found).every((channels) => Array.isArray(channels) && channels.every(isClumping)) ? found as Memory : {}
}

/** With a checksum inside: what a person changed by hand is not read. */
const packed = (value: unknown): string => gzipSync(JSON.stringify(value)).toString('base64')

function unpacked(text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: MOST_BYTES }).toString()) as unknown
  } catch {
    return undefined // Cut off or edited: no evidence is better than wrong evidence.
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value)
const isNumbers = (value: unknown): value is readonly number[] => Array.isArray(value) && value.every(isNumber)

function isCounters(value: unknown): value is Counters {
  if (!isRecord(value) || !isNumbers(value['bounds']) || !isRecord(value['misses'])) return false
  const { baseline } = value
  if (baseline === undefined) return true
  return isRecord(baseline) && isNumber(baseline['weight']) && isRecord(baseline['sources']) && [baseline['errors'], baseline['latency']].every(isArms)
}

const isArms = (value: unknown): boolean => isRecord(value) && [value['canary'], value['primary']].every((arm) =>
  isRecord(arm) && isNumber(arm['since']) && isRecord(arm['pods']) && Object.values(arm['pods']).every((pod) =>
    isRecord(pod) && isNumber(pod['started']) && isNumber(pod['requests']) && (isNumber(pod['bad']) || isNumbers(pod['bad']))))
