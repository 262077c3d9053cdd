import { formatDuration } from '#api/duration.ts'
import { InputError, readCanary, readText, type CanaryInput } from '#cli/input.ts'
import { createConfig, type JudgeConfig, type JudgeSettings } from '#judge/config.ts'
import { readCounts, type Counts, type RecordedPoll } from '#judge/recording.ts'
import { replayPolls, replayVectors, type JudgeAnswer, type Replay } from '#judge/replay.ts'
import { ERRORS, judgeMode, judgeSettingsOf, LATENCY } from '#judge/settings.ts'
import { percent } from '#judge/words.ts'

/** Recordings of every kind, as the golden vectors are. */
export const replayVectorsFile = (path: string): Replay => replayVectors(readText(path))

/** What could not be replayed, a line each. */
export const vectorFaults = ({ results }: Replay): readonly string[] => results.flatMap(({ fault }) => fault ?? [])

export const vectorsText = ({ results }: Replay): string =>
  `${results.filter(({ fault }) => fault === undefined).map(({ name, answers }) => `${name}: ${answers.map((answer) => ('verdict' in answer ? answer.verdict : JSON.stringify(answer))).join(', ')}`).join('\n')}\n`

/** The answer after a listed poll: where the run was by then, and what the judge said. */
export type CountsAnswer = { /** Seconds since the first poll began. */ readonly at: number; readonly weight: number } & JudgeAnswer
export type CountsReplay = {
  readonly results: readonly [{ readonly name: string; readonly mode: string; readonly settings: JudgeConfig; readonly answers: readonly CountsAnswer[] }]
}

/** The judge on recorded counts. Settings are the Canary's, else the file's own `config`, else the defaults for the metrics that the polls have. */
export function replayCountsFile(path: string, canaryPath: string | undefined, name: string | undefined): CountsReplay {
  const canary = canaryPath === undefined ? undefined : readCanary(canaryPath, name)
  return told(path, () => {
    const counts = readCounts(readText(path))
    if (counts.polls.length === 0) throw new SyntaxError('polls: none in it; there is nothing to judge')
    const polls = canary ? counts.polls.map(underOurNames) : counts.polls
    const settings = canary ? settingsOf(canary, canaryPath ?? '', counts) : counts.settings ?? plainSettings(counts)
    const unfit = unjudged(polls, settings) ?? misshapen(polls, settings)
    if (unfit) throw new SyntaxError(unfit)
    let at = 0
    const answers = replayPolls(polls, settings).map((answer, i): CountsAnswer => {
      const { seconds, repeat, weight } = polls[i] ?? { seconds: 0, repeat: 1, weight: 0 }
      at += seconds * repeat
      return { at, weight, ...answer }
    })
    return { results: [{ name: canary?.name ?? path, mode: canary ? judgeMode(canary.spec) : 'enforce', settings: createConfig(settings), answers }] }
  })
}

/** Flagger's names of the same counts. */
const OUR_NAMES: Readonly<Record<string, string>> = { 'request-success-rate': ERRORS, 'error-rate': ERRORS, 'request-duration': LATENCY }

const underOurNames = (poll: RecordedPoll): RecordedPoll =>
  ({ ...poll, metrics: Object.fromEntries(Object.entries(poll.metrics).map(([name, counts]) => [OUR_NAMES[name] ?? name, counts])) })

/** A fault in them is the Canary's, not the counts'. */
function settingsOf({ spec }: CanaryInput, path: string, counts: Counts): JudgeSettings {
  const settings = judgeSettingsOf(spec, boundsFor(counts))
  try {
    createConfig(settings)
    return settings
  } catch (err) {
    if (err instanceof RangeError) throw new InputError(`${path}: spec.gate.judge: ${err.message}`, { cause: err })
    throw err
  }
}

function boundsFor({ bounds, settings }: Counts): readonly number[] {
  const recorded = settings?.metrics.flatMap((metric) => (metric.kind === 'histogram' && metric.name === LATENCY ? [metric.bounds] : []))[0]
  return bounds[LATENCY] ?? bounds['request-duration'] ?? recorded ?? []
}

/** Every metric that the polls have, with nothing said about it. */
function plainSettings({ polls, bounds }: Counts): JudgeSettings {
  const kinds = new Map(polls.flatMap(({ metrics }) => Object.entries(metrics).map(([name, { kc }]): [string, boolean] => [name, Array.isArray(kc)])))
  return {
    metrics: [...kinds].map(([name, isHistogram]) => {
      const known = bounds[name]
      if (isHistogram && !known) throw new SyntaxError(`bounds.${name}: missing; its counts are by bound, so give the bounds in milliseconds: {"bounds": {"${name}": [50, 100, 250]}, "polls": [...]}`)
      return isHistogram && known ? { name, kind: 'histogram', bounds: known } : { name, kind: 'rate' }
    }),
  }
}

/** Counts that nobody would look at are a mistake in the file, not a canary without evidence. */
function unjudged(polls: readonly RecordedPoll[], { metrics }: JudgeSettings): string | undefined {
  const known = metrics.map(({ name }) => name)
  const found = [...new Set(polls.flatMap((poll) => Object.keys(poll.metrics)))]
  const unknown = found.filter((name) => !known.includes(name))
  if (unknown.includes(LATENCY)) return `metrics.${LATENCY}: not judged; it needs a request-duration metric in the Canary, and the bounds in milliseconds: {"bounds": {"${LATENCY}": [50, 100, 250]}, "polls": [...]}`
  if (unknown.length > 0) return `metrics.${unknown[0]}: not judged; the settings know ${known.join(', ')}`
  return found.length > 0 ? undefined : `metrics: no poll has counts; the settings ask for ${known.join(', ')}`
}

/** Buckets as a metrics page has them grow with the bound; taken for requests *slower* than it, they would turn the verdict round. */
function misshapen(polls: readonly RecordedPoll[], { metrics }: JudgeSettings): string | undefined {
  for (const metric of metrics) for (const [i, poll] of polls.entries()) {
    const { kc, kp, pods = [] } = poll.metrics[metric.name] ?? { kc: undefined, kp: undefined }
    const where = `polls[${i}].metrics.${metric.name}`
    const counts: readonly (readonly [string, number | readonly number[] | undefined])[] = [['kc', kc], ['kp', kp], ...pods.map(([, k], pod) => [`pods[${pod}][1]`, k] as const)]
    for (const [field, k] of counts) {
      if (k === undefined) continue
      if (metric.kind === 'rate') {
        if (typeof k !== 'number') return `${where}.${field}: a list; ${metric.name} is judged by one number of failures`
        continue
      }
      if (typeof k === 'number' || k.length !== metric.bounds.length) return `${where}.${field}: ${typeof k === 'number' ? 'one number' : `${k.length} counts`}; give one for each of the ${metric.bounds.length} bounds`
      if (k.some((slower, bound) => slower > (k[bound - 1] ?? Infinity))) return `${where}.${field}: grows with the bound; give the requests slower than each bound: all of them less the bucket`
    }
  }
  return undefined
}

function told<T>(path: string, run: () => T): T {
  try {
    return run()
  } catch (err) {
    if (err instanceof SyntaxError || err instanceof RangeError) throw new InputError(`${path}: ${err.message}`, { cause: err })
    throw err
  }
}

const DONE: Readonly<Record<JudgeAnswer['verdict'], string>> = {
  Worse: 'roll back now', NoData: 'hold', BothBad: 'hold', Suspect: 'no more weight, look again soon', Good: 'the step may end early', Undecided: 'go by the thresholds',
}

export function countsText({ results: [{ name, mode, settings, answers }] }: CountsReplay): string {
  const metrics = settings.metrics.map(({ name: metric, tolerance, limit, floor }) =>
    `${metric}: tolerated up to ${tolerance} times the primary's rate, or ${percent(floor)}${limit === undefined ? '' : `; limit ${percent(limit)}`}`)
  const last = answers.at(-1)
  const worse = answers.find(({ verdict }) => verdict === 'Worse')
  const line = ({ at, weight, verdict, reason }: CountsAnswer): string => `  ${`+${timeText(at)}`.padEnd(9)} ${String(weight).padStart(3)} %  ${verdict.padEnd(9)}  ${reason}`
  const end = worse ?? last
  return [
    `${name}: a canary that is not worse than tolerated is found worse at most once in ${Math.round(1 / settings.alpha)} analyses`,
    ...metrics.map((text) => `  ${text}`),
    ...answers.map(line),
    `verdict  ${end ? `${end.verdict} after ${timeText(end.at)}: ${mode === 'enforce' || end.verdict === 'Undecided' ? DONE[end.verdict] : `mode ${mode}, so nothing is done but said`}` : 'none'}`,
    '',
  ].join('\n')
}

const timeText = (seconds: number): string => formatDuration(Math.round(seconds * 1_000))
