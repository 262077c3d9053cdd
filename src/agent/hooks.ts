import type { Canary } from '#api/canary.ts'
import { objectKey } from '#api/objects.ts'
import { hooksOf, subjectOf } from '#hooks/hooks.ts'
import type { HookRounds } from '#hooks/rounds.ts'
import type { HookAnswer, Seen } from '#rollout/decision.ts'
import { wantedHooks } from '#rollout/step.ts'

/** Lists asked in one turn: each kind of hook once, whatever their answers lead to. */
const MAX_LISTS = 16

/**
 * The answers that the core wants for its next decision, asked list by list since each decides which comes next. A list under way is left
 * out: the core then waits with that step alone, and is woken when the round is done. Undefined where the Canary has no hooks.
 */
export function consultHooks(canary: Canary, seen: Seen, rounds: HookRounds, now: number): readonly HookAnswer[] | undefined {
  if (!canary.spec.analysis.webhooks?.length) return undefined
  const status = canary.status ?? {}
  const key = objectKey(canary.metadata)
  const { step, nextCheckAt, hooksAt } = status.gate ?? {}
  // Another check, another run or another phase is another round; nothing else is.
  const id = [status.phase, status.lastAppliedSpec, seen.target?.revision, step, nextCheckAt, hooksAt].join('/')
  let answers: readonly HookAnswer[] = []
  for (let lists = 0; lists < MAX_LISTS; lists += 1) {
    const [ask] = wantedHooks(status, { ...seen, hooks: answers }, now)
    if (!ask || answers.some(({ type }) => type === ask.type)) return answers
    const round = rounds.ask({ key, id, type: ask.type, hooks: hooksOf(canary, ask.type), subject: subjectOf(canary, ask.phase) })
    if (!round) return answers
    answers = [...answers, ...round]
  }
  return answers
}
