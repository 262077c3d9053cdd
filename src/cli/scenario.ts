import { parseDuration } from '#api/duration.ts'
import { ANNOTATION_FLAGGER_PROMOTE, ANNOTATION_RESTARTED_AT, COMMANDS, commandAnnotation, type Command } from '#api/names.ts'
import { InputError, isRecord, KNOWN_ANNOTATIONS, readYaml } from '#cli/input.ts'
import type { MetricValues, SimulationEvent } from '#cli/simulated-cluster.ts'

export type ScenarioInput = { readonly image: string; readonly replicas: number; readonly podStartMs: number; readonly untilMs: number; readonly events: readonly SimulationEvent[] }

const DEFAULT_POD_START_MS = 5_000
const DEFAULT_UNTIL_MS = 24 * 3_600_000

type Fields = Readonly<Record<string, unknown>>
/** Reads the fields of one object; what is left over is a mistake. By hand: a schema library would take longer to load than the run takes. */
type Reader = ReturnType<typeof reader>

function reader(fields: Fields, path: string) {
  const fail = (field: string, words: string): never => { throw new InputError(`${path}${field}: ${words}`) }
  return {
    fail,
    text(field: string): string {
      const value = fields[field]
      return typeof value === 'string' && value !== '' ? value : fail(field, value === undefined ? 'missing' : 'must be a text that is not empty')
    },
    oneOf<const T>(field: string, known: readonly T[], otherwise?: T): T {
      const value = fields[field] as T | undefined
      if (value === undefined && otherwise !== undefined) return otherwise
      return known.includes(value as T) ? value as T : fail(field, `${JSON.stringify(value)} is unknown; use one of ${known.join(', ')}`)
    },
    duration(field: string, otherwise?: number): number {
      const value = fields[field]
      if (value === undefined && otherwise !== undefined) return otherwise
      const parsed = typeof value === 'string' ? parseDuration(value) : value === 0 ? 0 : undefined
      return parsed ?? fail(field, value === undefined ? 'missing; write a duration such as 90s' : `${JSON.stringify(value)} is no duration; write 90s or 1m30s`)
    },
    count(field: string, otherwise?: number): number {
      const value = fields[field] ?? otherwise
      return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : fail(field, value === undefined ? 'missing' : `${JSON.stringify(value)} is no whole number from 0 on`)
    },
    only(known: readonly string[]): void {
      for (const field of Object.keys(fields)) if (!known.includes(field)) fail(field, `unknown; known here: ${known.join(', ')}`)
    },
  }
}

export function readScenario(path: string): ScenarioInput {
  const documents = readYaml(path)
  const [scenario] = documents
  if (!isRecord(scenario)) throw new InputError(`${path}: no scenario in it; it needs image and events`)
  const read = reader(scenario, `${path}: `)
  read.only(['image', 'replicas', 'podStart', 'until', 'events'])
  const events = scenario['events']
  if (!Array.isArray(events)) return read.fail('events', events === undefined ? 'missing; list what happens' : 'must be a list')
  return {
    image: read.text('image'), replicas: read.count('replicas', 1), podStartMs: read.duration('podStart', DEFAULT_POD_START_MS),
    untilMs: read.duration('until', DEFAULT_UNTIL_MS), events: events.flatMap((event, i) => eventsOf(event, `${path}: events[${i}].`)),
  }
}

const EVENTS: Readonly<Record<string, { readonly fields: readonly string[]; readonly read: (read: Reader, fields: Fields, at: number) => readonly SimulationEvent[] }>> = {
  setImage: { fields: ['image'], read: (read, _, at) => [{ at, do: 'setImage', image: read.text('image') }] },
  metrics: { fields: ['values', 'arm'], read: (read, fields, at) => [{ at, do: 'metrics', values: valuesOf(read, fields), ...(fields['arm'] === undefined ? {} : { arm: read.oneOf('arm', ['canary', 'primary']) }) }] },
  hook: { fields: ['name', 'answer'], read: (read, _, at) => [{ at, do: 'hook', name: read.text('name'), answer: read.oneOf('answer', [200, 500, 'timeout']) }] },
  annotate: { fields: ['on', 'set'], read: annotations },
  notReady: { fields: ['workload'], read: (read, _, at) => [{ at, do: 'notReady', workload: read.oneOf('workload', ['canary', 'primary', 'baseline']) }] },
  ready: { fields: ['workload'], read: (read, _, at) => [{ at, do: 'ready', workload: read.oneOf('workload', ['canary', 'primary', 'baseline']) }] },
  scale: { fields: ['replicas'], read: (read, _, at) => [{ at, do: 'scale', replicas: read.count('replicas') }] },
  agentCrash: { fields: [], read: (_, __, at) => [{ at, do: 'agentCrash' }] },
  apiDown: { fields: ['for'], read: (read, _, at) => [{ at, do: 'apiDown', for: read.duration('for') }] },
  routerLost: { fields: [], read: (_, __, at) => [{ at, do: 'routerLost' }] },
  deleteCanary: { fields: [], read: (_, __, at) => [{ at, do: 'deleteCanary' }] },
}

function eventsOf(event: unknown, path: string): readonly SimulationEvent[] {
  if (!isRecord(event)) throw new InputError(`${path.slice(0, -1)}: must be an object with at and do`)
  const read = reader(event, path)
  const kind = read.oneOf('do', Object.keys(EVENTS))
  const known = EVENTS[kind]
  if (!known) return []
  read.only(['at', 'do', ...known.fields])
  return known.read(read, event, read.duration('at'))
}

function valuesOf(read: Reader, fields: Fields): MetricValues {
  const values = fields['values']
  if (!isRecord(values)) return read.fail('values', 'must give a value to each metric by its name')
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== 'error' && typeof value !== 'number') read.fail(`values.${name}`, `${JSON.stringify(value)} is no number; null means no data, "error" a source that is down`)
  }
  return values as MetricValues
}

function annotations(read: Reader, fields: Fields, at: number): readonly SimulationEvent[] {
  const on = read.oneOf('on', ['canary', 'target'], 'canary')
  const set = fields['set']
  if (!isRecord(set)) return read.fail('set', 'must be a map of annotations')
  return Object.entries(set).map(([annotation, value]): SimulationEvent => {
    const reason = typeof value === 'string' ? value : JSON.stringify(value)
    if (annotation === ANNOTATION_FLAGGER_PROMOTE) {
      return reason === 'true' ? { at, do: 'annotate', command: 'promote', reason: annotation } : read.fail(`set.${annotation}`, `${JSON.stringify(value)} is no command; write "true"`)
    }
    if (annotation === ANNOTATION_RESTARTED_AT && on === 'target') return { at, do: 'restart' }
    const command = COMMANDS.find((known): known is Command => commandAnnotation(known) === annotation)
    return command ? { at, do: 'annotate', command, reason } : read.fail(`set.${annotation}`, `no command; known: ${KNOWN_ANNOTATIONS.join(', ')}`)
  })
}
