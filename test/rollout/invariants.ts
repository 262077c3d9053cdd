import type { CanaryStatus } from '#api/canary.ts'
import { planOf } from '#rollout/plan.ts'
import type { Decision, Effect, Seen } from '#rollout/decision.ts'
import { phaseOf } from '#rollout/status.ts'
import { baselineIsReachable, canaryIsReachable, capacity, isByReplicas, isReady, readyPods, SETTLE_MS, type World } from './model.ts'

export class Violation extends Error {}
const claim = (isTrue: boolean, words: string): void => {
  if (!isTrue) throw new Violation(words)
}

/** What the checks need to know of the past. */
export type Ledger = {
  /** Revisions that may be served: stable ones, and those with a verdict or an explicit bypass. */
  readonly allowed: Set<string>
  /** Times of the last foreign changes: an agent that has not seen them yet is not to blame for their outcome. */
  routesTouchedAt: number
  podsTouchedAt: number
  /** How often each command was acted upon. */
  readonly obeyed: Map<string, number>
}

const RUN: readonly string[] = ['Waiting', 'Progressing', 'WaitingPromotion', 'Promoting', 'Finalising']
const isRun = (status: CanaryStatus): boolean => RUN.includes(phaseOf(status))

/** Before anything is done: is what was decided allowed? */
export function checkDecision(before: CanaryStatus, decision: Decision, seen: Seen, ledger: Ledger): void {
  const { status } = decision
  const isPassed = seen.check !== undefined && seen.check.metrics.every(({ failure, halt }) => failure === undefined && halt === undefined)
  const isCommanded = seen.commands.some(({ command }) => command === 'skip-step' || command === 'promote')
  const isBypassed = isCommanded || before.gate?.bypass !== undefined || seen.spec.skipAnalysis === true
  if (phaseOf(status) === 'Promoting' && phaseOf(before) !== 'Promoting') {
    claim(isPassed || isBypassed, `2: ${status.lastAppliedSpec} is promoted without a passed check`)
    ledger.allowed.add(status.lastAppliedSpec ?? '')
  }
  const isOver = isRun(before) && !isRun(status)
  claim(!isOver || decision.news.some(({ severity }) => severity !== undefined), `9: ${phaseOf(before)} ends as ${phaseOf(status)}, and nobody is alerted: ${decision.news.map(({ reason }) => reason).join()}`)
  const [was, is] = [before.canaryWeight ?? 0, status.canaryWeight ?? 0]
  if (is > was && phaseOf(before) !== 'Promoting') {
    const plan = planOf(seen.spec, seen.provider.name)
    const isFirst = (before.gate?.step ?? -1) < 0
    claim(isFirst || isPassed || isCommanded, `3: the weight rises from ${was} to ${is} without a passed check`)
    const next = plan.strategy === 'weighted' ? Math.min(...plan.steps.map(({ weight }) => weight).filter((weight) => weight > was)) : 100
    claim(is <= next, `3: the weight rises from ${was} to ${is}, more than a step (${next})`)
  }
}

/** One effect, applied to the real world. `seenAt`: the times that the agent's views of routes and canary pods are of. */
export function checkEffect(before: World, after: World, effect: Effect, status: CanaryStatus, seen: Seen, ledger: Ledger, seenAt: { readonly router: number; readonly canary: number }): void {
  const wanted = Math.min(before.target.recorded ?? before.target.replicas, seen.target?.wantedReplicas ?? 0)
  // Pods that became ready a moment ago are not known yet.
  const known = before.apex === 'target' ? wanted : seen.endpoints.primary + seen.endpoints.canary
  const needed = Math.min(wanted, capacity(before), known)
  const isPodsKnown = seenAt.canary >= ledger.podsTouchedAt
  const isRoutesKnown = seenAt.router >= ledger.routesTouchedAt
  // Nor is an owner who takes the target's pods away in the moment in which it takes over.
  const isCountKnown = effect.kind !== 'apex' || seen.target?.replicas === before.target.replicas
  if (isPodsKnown && isRoutesKnown && isCountKnown && before.target.exists) claim(capacity(after) >= Math.min(needed, 1), `1: ${effect.kind} takes the pods behind the apex from ${capacity(before)} to ${capacity(after)}, wanted ${wanted}`)

  if (effect.kind === 'deploy' && effect.role === 'primary') claim(ledger.allowed.has(effect.revision), `2: the primary gets ${effect.revision}, which nobody judged`)
  if (effect.kind === 'releaseTarget') claim(ledger.allowed.has(effect.revision), `8: the target is released with ${effect.revision}, which nobody judged`)
  if (effect.kind === 'setRoutes' && effect.routes.canary > 0 && !canaryIsReachable(before) && isPodsKnown) {
    const pods = (before.canary?.pods ?? []).filter((pod) => isReady(before, 'canary', pod))
    claim(pods.length > 0, `3: weight ${effect.routes.canary} goes to a canary without ready pods`)
    claim(pods.every(({ revision }) => revision === status.lastAppliedSpec), `3: weight goes to pods of ${pods.map(({ revision }) => revision).join()}, not of ${status.lastAppliedSpec}`)
  }
  const isPodChange = (effect.kind === 'scale' || effect.kind === 'deploy') && effect.role === 'canary' && before.canary !== undefined && readyPods(before, 'canary') > 0
  const isTaking = isPodChange && ((effect.kind === 'scale' && effect.replicas === 0) || (effect.kind === 'deploy' && effect.revision !== before.canary?.revision && before.canary?.revision !== 'foreign'))
  if (isTaking && isRoutesKnown && isPodsKnown) {
    claim(!canaryIsReachable(before), `4: ${effect.kind} of the canary while it has weight`)
    claim(before.now - (before.quietSince ?? before.now) >= SETTLE_MS || before.quietSince === 0, `4: ${effect.kind} of the canary ${before.now - (before.quietSince ?? 0)} ms after its weight went`)
  }
  if (effect.kind === 'setRoutes' && (effect.routes.baseline ?? 0) > 0) {
    const { canary, primary, baseline = 0 } = effect.routes
    claim(canary > 0 && baseline < primary, `3: the baseline gets ${baseline} % beside a canary of ${canary} and a primary of ${primary}`)
    claim(!isPodsKnown || readyPods(before, 'baseline') > 0, '3: the baseline gets requests and has no ready pod')
    claim(!isPodsKnown || before.baseline?.revision === status.lastPromotedSpec, `2: the baseline that gets requests runs ${before.baseline?.revision}`)
  }
  if (effect.kind === 'deploy' && effect.role === 'baseline') claim(ledger.allowed.has(effect.revision), `2: the baseline gets ${effect.revision}, which nobody judged`)
  const isBaselineChange = (effect.kind === 'scale' || effect.kind === 'deploy') && effect.role === 'baseline' && readyPods(before, 'baseline') > 0
  const isBaselineTaken = isBaselineChange && (effect.kind === 'scale' ? effect.replicas === 0 : before.baseline?.revision !== 'foreign' && before.baseline?.mark !== effect.beside)
  // Where pods are the weight, a baseline that nobody asks for any more goes as any pods go whose count falls.
  if (isBaselineTaken && isRoutesKnown && isPodsKnown && !(isByReplicas(before) && canaryIsReachable(before))) {
    claim(!baselineIsReachable(before), `4: ${effect.kind} of the baseline while it has requests`)
    const quietMs = before.now - (before.baselineQuietSince ?? before.now)
    claim(quietMs >= SETTLE_MS || before.baselineQuietSince === 0, `4: ${effect.kind} of the baseline ${quietMs} ms after its requests went`)
  }
  if (effect.kind === 'removeFinalizer' && !after.object.exists && after.target.exists) {
    claim(after.apex === 'target', `8: the Canary is gone and the apex selects ${after.apex}`)
    claim(!canaryIsReachable(after), '8: the Canary is gone and routes still point at its pods')
  }
}

export function checkSaved(before: CanaryStatus, status: CanaryStatus, ledger: Ledger): void {
  const taken = (status.gate?.taken ?? []).filter((text) => !(before.gate?.taken ?? []).includes(text))
  for (const text of taken) {
    ledger.obeyed.set(text, (ledger.obeyed.get(text) ?? 0) + 1)
    claim(ledger.obeyed.get(text) === 1, `a command is obeyed twice: ${text}`)
  }
}

/** After everything healed and the agent came to rest. */
export function checkEnd(world: World, lastEffects: readonly Effect[], ledger: Ledger): void {
  const { object, target, primary, canary, baseline } = world
  const { status } = object
  if (!object.exists) {
    claim(!target.exists || readyPods(world, 'target') >= (target.recorded ?? target.replicas), '8: the target does not serve after the deletion')
    claim(!target.exists || ledger.allowed.has(target.revision), `8: the target runs ${target.revision} after the deletion`)
    return
  }
  const phase = phaseOf(status)
  const isScaledToZero = (phase === 'Waiting' || phase === 'Progressing') && target.recorded === 0
  claim(isScaledToZero || ['Initialized', 'Succeeded', 'Failed', 'Initializing'].includes(phase), `does not converge: rests in ${phase} (${status.gate?.reason ?? ''})`)
  claim(lastEffects.every(({ kind }) => kind === 'services'), `7: still writes ${lastEffects.map(({ kind }) => kind).join()}`)
  if (!target.exists) return
  claim(phase !== 'Initializing', '5: a target is never adopted')
  claim(primary !== undefined && ledger.allowed.has(primary.revision) && primary.revision === status.lastPromotedSpec, `2: the primary rests on ${primary?.revision}, promoted ${status.lastPromotedSpec}`)
  claim(primary?.replicas === target.recorded, `1: the primary has ${primary?.replicas} replicas, asked for ${target.recorded}`)
  claim(readyPods(world, 'primary') >= (target.recorded ?? 0), '1: the primary is not whole')
  claim(target.replicas === 0, `1: the target keeps ${target.replicas} replicas`)
  claim((canary?.replicas ?? 0) === 0, `4: the canary keeps ${canary?.replicas} replicas`)
  claim((baseline?.replicas ?? 0) === 0, `4: the baseline keeps ${baseline?.replicas} replicas`)
  claim(!canaryIsReachable(world) && world.apex === 'primary', `4: routes rest on ${JSON.stringify(world.routes)}, apex ${world.apex}`)
  const isServed = target.revision === status.lastPromotedSpec
  const isHeld = target.recorded === 0
  claim(isServed || isHeld || (target.gate?.startsWith('failed') ?? false), `5: ${target.revision} is lost: phase ${phase}, gate ${target.gate}, promoted ${status.lastPromotedSpec}, applied ${status.lastAppliedSpec}`)
  claim(!isServed || target.gate === undefined || target.gate === 'passed', `5: ${target.revision} serves and its gate says ${target.gate}`)
  claim(object.commands.length === 0, `a command is never consumed: ${object.commands.map(({ command }) => command).join()}`)
}
