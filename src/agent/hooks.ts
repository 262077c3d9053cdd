import type { Canary, CanaryStatus, HookType } from '#api/canary.ts'
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
  const key = objectKey(canary.metadata)
  if (!canary.spec.analysis.webhooks?.length) {
    rounds.forget(key)
    return undefined
  }
  const status = canary.status ?? {}
  const { step, nextCheckAt, hooksAt } = status.gate ?? {}
  // Another check, another run or another phase is another round; nothing else is. While pods start, `rollback` hooks have a time of their own.
  const turn = [status.phase, status.lastAppliedSpec, seen.target?.revision, step, nextCheckAt].join('/')
  const idOf = (type: HookType): string => (type === 'rollback' ? `${turn}/${hooksAt}` : turn)
  rounds.keep(key, idOf)
  let answers: readonly HookAnswer[] = []
  for (let lists = 0; lists < MAX_LISTS; lists += 1) {
    const [ask] = wantedHooks(status, { ...seen, hooks: answers }, now)
    if (!ask || answers.some(({ type }) => type === ask.type)) return answers
    const subject = subjectOf({ ...canary, status: asksAbout(status, seen, ask.type) }, ask.phase)
    const round = rounds.ask({ key, id: idOf(ask.type), type: ask.type, hooks: hooksOf(canary, ask.type), subject })
    if (!round) return answers
    answers = [...answers, ...round]
  }
  return answers
}

/** Before a run begins the status speaks of the revision before: the approval is asked for the one that wants to start, or one approval would pass for another's. */
function asksAbout(status: CanaryStatus, { target }: Seen, type: HookType): CanaryStatus {
  if (type !== 'confirm-rollout' || !target) return status
  return { ...status, lastAppliedSpec: target.revision, ...(target.configs ? { trackedConfigs: target.configs } : {}) }
}
