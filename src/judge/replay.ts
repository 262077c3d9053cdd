/** Replays recorded polls: the golden vectors, and what a run left behind, give the same answers on every machine. */

import { createConfig, type JudgeSettings } from '#judge/config.ts'
import { increase, type Baseline, type Increase, type Scrape } from '#judge/increase.ts'
import { createState, judge, type Judgement } from '#judge/judge.ts'
import type { Poll } from '#judge/poll.ts'

/** One line of a recording. A poll with `repeat` comes that often; its answer is the last one. */
export type Recording =
  | { readonly name: string; readonly kind: 'judge'; readonly config: JudgeSettings; readonly polls: readonly (Poll & { readonly repeat?: number })[] }
  | { readonly name: string; readonly kind: 'increase'; readonly prev: Baseline; readonly scrape: Scrape }

export type JudgeAnswer = Omit<Judgement, 'state'>
export type IncreaseAnswer = Increase & { readonly complete: true }
export type Replay = { readonly results: readonly { readonly name: string; readonly answers: readonly (JudgeAnswer | IncreaseAnswer)[] }[] }

/** The answers to each line. Blank lines are passed over; a line that is no recording throws a SyntaxError with its number. */
export function replayVectors(lines: readonly string[]): Replay {
  return {
    results: lines.flatMap((line, i) => {
      if (line.trim() === '') return []
      const recording = parseRecording(line, i + 1)
      return [{ name: recording.name, answers: recording.kind === 'judge' ? replayPolls(recording) : [replayScrape(recording)] }]
    }),
  }
}

function parseRecording(line: string, number: number): Recording {
  const value: unknown = JSON.parse(line)
  if (!isRecording(value)) throw new SyntaxError(`line ${number} is no recording of kind "judge" or "increase"`)
  return value
}

/** Shape enough to replay; counts are checked poll by poll. */
function isRecording(value: unknown): value is Recording {
  if (typeof value !== 'object' || value === null || !('name' in value) || !('kind' in value)) return false
  if (value.kind === 'increase') return 'prev' in value && 'scrape' in value
  return value.kind === 'judge' && 'config' in value && 'polls' in value && Array.isArray(value.polls)
}

function replayPolls({ config: settings, polls }: Recording & { kind: 'judge' }): readonly JudgeAnswer[] {
  const config = createConfig(settings)
  let state = createState(config)
  return polls.flatMap(({ repeat = 1, ...poll }) => {
    let answer: JudgeAnswer | undefined
    for (let i = 0; i < repeat; i += 1) ({ state, ...answer } = judge(state, poll, config))
    return answer ? [answer] : []
  })
}

const replayScrape = ({ prev, scrape }: Recording & { kind: 'increase' }): IncreaseAnswer => ({ complete: true, ...increase(prev, scrape) })
