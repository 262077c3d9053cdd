import type { Canary, CanaryStatus } from '#api/canary.ts'
import { earlier, phaseOf } from '#rollout/status.ts'
import { asksRouter, confirmed } from '#rollout/routed.ts'
import { step, wantsCheck } from '#rollout/step.ts'
import type { Check, Decision, Effect, HookAnswer, JudgementSeen, News, Seen } from '#rollout/decision.ts'
import type { Log } from '#kube/log.ts'

/** What one turn of the loop needs; a fake is an object literal. */
export type Ports = {
  now(): number
  /** The Canary with the status that was saved last, or undefined when it is gone. */
  canary(key: string): Canary | undefined
  observe(canary: Canary, now: number, found?: { readonly check?: Check | undefined; readonly judgement?: JudgementSeen | undefined }): Seen
  /** What hooks answered so far, asked one list at a time; those under way wake the Canary when they are done. */
  consultHooks(canary: Canary, seen: Seen): readonly HookAnswer[] | undefined
  /** The judge's word, and when it wants to look again. For a decision it looks in any case. */
  look(canary: Canary, seen: Seen, why?: 'decision'): Promise<{ readonly judgement: JudgementSeen | undefined; readonly nextAt: number | undefined }>
  measure(canary: Canary, seen: Seen): Promise<Check>
  apply(canary: Canary, effect: Effect, seen: Seen): Promise<void>
  saveStatus(canary: Canary, status: CanaryStatus): Promise<void>
  /** Remembers a status that the next save brings along. False where it must be saved now. */
  deferStatus(canary: Canary, status: CanaryStatus): boolean
  /** When a status that was deferred must be saved (Unix ms). */
  statusDueAt(key: string): number | undefined
  announce(canary: Canary, item: News): void
  /** The fence: false once another agent may lead. */
  isLeader(): boolean
  readonly log: Log
}

/** One turn for one Canary: look, decide, do, remember, tell. Answers when to look again (Unix ms), if at all. */
export async function reconcile(key: string, ports: Ports): Promise<number | undefined> {
  const canary = ports.canary(key)
  if (!canary) return undefined
  const before = canary.status ?? {}
  const first = ports.observe(canary, ports.now())
  const isChecking = wantsCheck(before, first, ports.now())
  let { judgement, nextAt } = await ports.look(canary, first, isChecking ? 'decision' : undefined)
  const check = isChecking ? await ports.measure(canary, first) : undefined
  const observed = ports.observe(canary, ports.now(), { check, judgement })
  const hooks = ports.consultHooks(canary, observed)
  const seen = hooks ? { ...observed, hooks } : observed
  let decision = step(before, seen, ports.now())
  if (raisesWeight(decision, seen)) {
    // Requests at the old weight are counted as such, and may be the proof that it must not rise.
    ({ judgement, nextAt } = await ports.look(canary, seen, 'decision'))
    decision = step(before, { ...seen, judgement }, ports.now())
  }

  for (const effect of decision.effects) {
    if (!ports.isLeader()) return undefined
    await ports.apply(canary, effect, seen) // a crash here: the next turn repeats them, harmlessly
  }
  const status = asksRouter(decision.effects) ? confirmed(before, decision, ports.observe(canary, ports.now()), ports.now()) : decision.status
  const isDeferred = status !== before && awaitsRouter(before, decision, status, seen) && ports.deferStatus(canary, status)
  const isDue = (ports.statusDueAt(key) ?? Infinity) <= ports.now()
  if (!isDeferred && (status !== before || isDue)) {
    if (!ports.isLeader()) return undefined
    // A conflict here: somebody decided first, or the spec changed; the queue brings the key again. A released Canary is gone already.
    if (!decision.effects.some(({ kind }) => kind === 'removeFinalizer')) await ports.saveStatus(canary, status)
  }
  logDecision(ports.log, before, status)
  for (const item of decision.news) ports.announce(canary, { ...item, status: item.status ?? status }) // last, or a failed save would tell it twice
  return earlier(earlier(decision.wakeAt, nextAt), ports.statusDueAt(key))
}

/**
 * A step that was asked for, and that its router will confirm in a moment: one status tells both ([ADR 16](docs/adr/0016-one-status-for-asked-and-in-force.md)).
 * Should the agent die before, the step is decided again, as after a death between effect and status.
 */
const awaitsRouter = (before: CanaryStatus, decision: Decision, status: CanaryStatus, seen: Seen): boolean =>
  raisesWeight(decision, seen) && status.gate?.routesAt === undefined && before.phase === 'Progressing' && status.phase === 'Progressing'

const raisesWeight = ({ effects }: Decision, { routes }: Seen): boolean =>
  effects.some((effect) => effect.kind === 'setRoutes' && effect.routes.canary > (routes?.canary ?? 0))

function logDecision(log: Log, before: CanaryStatus, status: CanaryStatus): void {
  if (phaseOf(before) === phaseOf(status) && before.canaryWeight === status.canaryWeight && before.failedChecks === status.failedChecks) return
  log.info(
    { phase: status.phase, weight: status.canaryWeight, failedChecks: status.failedChecks, revision: status.lastAppliedSpec, reason: status.gate?.reason },
    'rollout decided',
  )
}
