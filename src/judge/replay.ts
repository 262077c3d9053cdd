/** Replays recorded polls: the golden vectors, and what a run left behind, give the same answers on every machine. */

import { createConfig, type JudgeSettings } from '#judge/config.ts'
import { increase, type Baseline, type Increase } from '#judge/increase.ts'
import { createState, judge, type Judgement } from '#judge/judge.ts'
import { planDetection, type DetectionTerms } from '#judge/plan.ts'
import { readVectors, type FaultyRecording, type RecordedPoll, type Recording } from '#judge/recording.ts'

export type JudgeAnswer = Omit<Judgement, 'state'>
/** `complete: false`: a pod did not answer, so nothing was counted and no baseline moved. */
export type IncreaseAnswer = Increase & { readonly complete: boolean }
/** The planning formula's answer; null is infinity. `median` and `p90` are the seconds by the formula's own names. */
export type PlanAnswer = {
  readonly never: boolean
  /** Why it is never found. */
  readonly why?: string
  readonly g1: number | null
  readonly g2: number | null
  /** To the canary. */
  readonly requests: number | null
  readonly medianSeconds: number | null
  readonly p90Seconds: number | null
  readonly median: number | null
  readonly p90: number | null
}
export type Replay = { readonly results: readonly Replayed[] }
export type Replayed = {
  readonly name: string
  readonly answers: readonly (JudgeAnswer | IncreaseAnswer | PlanAnswer)[]
  /** Why there are no answers, and where the fault is. */
  readonly fault?: string
}

/** The answers to each recording; what cannot be replayed loses none of the others. */
export const replayVectors = (text: string): Replay => ({ results: readVectors(text).map(replayed) })

function replayed(recording: Recording | FaultyRecording): Replayed {
  const { name } = recording
  if ('fault' in recording) return { name, answers: [], fault: recording.fault }
  try {
    return { name, answers: answersTo(recording) }
  } catch (err) {
    if (err instanceof SyntaxError) return { name, answers: [], fault: err.message }
    throw err
  }
}

function answersTo(recording: Recording): Replayed['answers'] {
  switch (recording.kind) {
    case 'judge': return replayPolls(recording.polls, recording.settings, recording.name)
    case 'increase': return [replayScrape(recording)]
    case 'plan': return [replayPlan(recording.terms)]
    default: return recording satisfies never
  }
}

/** One answer a listed poll. `name`: of the recording, for the fault that says which poll cannot be judged. */
export function replayPolls(polls: readonly RecordedPoll[], settings: JudgeSettings, name?: string): readonly JudgeAnswer[] {
  const of = name === undefined ? '' : `${name}: `
  const config = explained(of, () => createConfig(settings))
  let state = createState(config)
  return polls.map(({ repeat, ...poll }, i) => {
    const next = () => judge(state, poll, config)
    let { state: after, ...answer } = explained(`${of}polls[${i}]: `, next)
    state = after
    for (let again = 1; again < repeat; again += 1) {
      ({ state: after, ...answer } = next())
      state = after
    }
    return answer
  })
}

/** The judge's own faults are about one poll or one setting: here is known which. */
function explained<T>(where: string, run: () => T): T {
  try {
    return run()
  } catch (err) {
    if (err instanceof RangeError) throw new SyntaxError(`${where}${err.message}`, { cause: err })
    throw err
  }
}

function replayScrape({ prev, scrape, silent }: Recording & { kind: 'increase' }): IncreaseAnswer {
  const counted = increase(prev, scrape)
  if (silent.length === 0) return { complete: true, ...counted }
  return { complete: false, n: 0, k: typeof counted.k === 'number' ? 0 : counted.k.map(() => 0), pods: [], next: prev satisfies Baseline }
}

function replayPlan(terms: DetectionTerms): PlanAnswer {
  const found = planDetection(terms)
  if (found.kind === 'never') return { never: true, why: found.why, g1: null, g2: null, requests: null, medianSeconds: null, p90Seconds: null, median: null, p90: null }
  const [median, p90] = [orNull(found.medianSeconds), orNull(found.p90Seconds)]
  return {
    never: false, g1: found.growth[0], g2: orNull(found.growth[1]), requests: orNull(found.canaryRequests), medianSeconds: median, p90Seconds: p90, median, p90,
  }
}

const orNull = (value: number): number | null => (Number.isFinite(value) ? value : null)
