import { InputError, readText } from '#cli/input.ts'
import { replayVectors, type Replay } from '#judge/replay.ts'

/** The judge on recorded polls, one recording a line. */
export function replayFile(path: string): Replay {
  try {
    return replayVectors(readText(path).split('\n'))
  } catch (err) {
    if (err instanceof InputError) throw err
    throw new InputError(`${path}: ${err instanceof Error ? err.message : String(err)}; one JSON object a line, with name, kind (judge or increase) and what it replays`, { cause: err })
  }
}

export const replayText = ({ results }: Replay): string =>
  `${results.map(({ name, answers }) => `${name}: ${answers.map((answer) => ('verdict' in answer ? answer.verdict : JSON.stringify(answer))).join(', ')}`).join('\n')}\n`
