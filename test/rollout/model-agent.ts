import type { CanaryStatus } from '#api/canary.ts'
import type { CheckedMetric } from '#api/measurement.ts'
import type { Decision, Effect, HookAnswer, News, Seen } from '#rollout/decision.ts'
import { asksRouter, confirmed } from '#rollout/routed.ts'
import { phaseOf } from '#rollout/status.ts'
import { step, wantedHooks, wantsCheck } from '#rollout/step.ts'
import { checkDecision, checkEffect, checkSaved, type Ledger } from './invariants.ts'
import { carryOut, see, settle, type Views, type World } from './model.ts'

/** What may go wrong with a call. `lost`: it is carried out, and nobody says so. */
export const FAULTS = ['none', 'fails', 'lost', 'crash-before', 'crash-after'] as const
export type Fault = (typeof FAULTS)[number]

/** The next of a list that repeats: drawn by fast-check, so a failure can be replayed and made smaller. */
export const cycle = <T>(values: readonly T[], otherwise: T): (() => T) => {
  let i = 0
  return () => (values.length === 0 ? otherwise : (values[i++ % values.length] as T))
}

/** Caches are never older than this (ms): less than what the core waits before it relies on pods or routes. */
const LONGEST_LAG_MS = 900

/** The agent's loop over the model, as `reconcile` runs it: caches that lag, a status that is compared and swapped, and calls that fail. */
export class ModelAgent {
  world: World
  readonly #history: World[]
  readonly #ledger: Ledger
  readonly #crashPoints: Set<string>
  #at: Record<keyof Views, number>
  #saved: { readonly version: number; readonly status: CanaryStatus } | undefined
  wakeAt: number | undefined
  lastEffects: readonly Effect[] = []
  readonly told: News[] = []
  /** What the agent could have been woken by. */
  #known: World | undefined

  constructor(world: World, ledger: Ledger, crashPoints: Set<string>) {
    this.world = world
    this.#history = [world]
    this.#ledger = ledger
    this.#crashPoints = crashPoints
    this.#at = { target: 0, primary: 0, canary: 0, baseline: 0, router: 0, endpoints: 0, object: 0 }
    this.wakeAt = world.now
  }

  change(next: World): void {
    if (next === this.world) return
    this.world = next
    this.#history.push(next)
  }

  /** Time passes, and the controllers act. */
  pass(ms: number): void {
    this.change(settle({ ...this.world, now: this.world.now + ms }))
  }

  /** Memory is lost; the next one lists everything anew. */
  crash(): void {
    const latest = this.#history.length - 1
    for (const kind of Object.keys(this.#at) as (keyof Views)[]) this.#at[kind] = latest
    this.#saved = undefined
    this.wakeAt = this.world.now
  }

  #views(lag: () => number): Views {
    const latest = this.#history.length - 1
    const views = {} as Record<keyof Views, World>
    for (const kind of Object.keys(this.#at) as (keyof Views)[]) {
      let index = Math.max(this.#at[kind], latest - lag())
      while (index < latest && (this.#history[index + 1]?.now ?? 0) < this.world.now - LONGEST_LAG_MS) index += 1
      this.#at[kind] = index
      views[kind] = this.#history[index] as World
    }
    return views
  }

  /** Something that it watches changed since its last turn, or its time has come. */
  isDue(): boolean {
    const { world } = this
    const old = this.#known
    if (!old || (this.wakeAt !== undefined && this.wakeAt <= world.now)) return true
    const keys = ['target', 'primary', 'canary', 'baseline', 'routes', 'apex', 'object'] as const
    return keys.some((key) => key !== 'object' ? !isSame(old, world, key) : old.object.version !== world.object.version)
      || ready(old) !== ready(world)
  }

  /** One turn. Answers whether anything came of it. */
  turn(fault: () => Fault, lag: () => number): boolean {
    const started = this.world
    this.#known = started
    const views = this.#views(lag)
    const cached = views.object.object
    if (!cached.exists) {
      this.wakeAt = undefined
      return false
    }
    const overlay = this.#saved && this.#saved.version > cached.version ? this.#saved : undefined
    const status = overlay?.status ?? cached.status
    const decision = this.#decide(status, views)
    const seenAt = { router: views.router.now, canary: Math.min(views.canary.now, views.baseline.now, views.endpoints.now) }
    const seen = see(views, this.world.now)
    this.lastEffects = decision.effects
    this.wakeAt = decision.wakeAt
    try {
      for (const effect of decision.effects) {
        const before = this.world
        this.#call(fault(), `${phaseOf(status)}>${phaseOf(decision.status)} ${effect.kind}${'role' in effect ? ` ${effect.role}` : ''}`, () => {
          const after = carryOut(before, effect, views.target.target.version)
          checkEffect(before, after, effect, decision.status, seen, this.#ledger, seenAt)
          this.change(after)
        })
      }
      // What it has written itself it sees.
      if (asksRouter(decision.effects)) this.#at.router = this.#history.length - 1
      const next = asksRouter(decision.effects) ? confirmed(status, decision, see({ ...views, router: this.world }, this.world.now), this.world.now) : decision.status
      if (next !== status && this.world.object.exists) {
        this.#call(fault(), `${phaseOf(status)}>${phaseOf(decision.status)} save`, () => {
          const { object } = this.world
          if (object.version !== (overlay?.version ?? cached.version)) throw new Error('conflict')
          const saved = { ...object, status: next, version: object.version + 1 }
          checkSaved(status, next, this.#ledger)
          this.change({ ...this.world, object: saved })
          this.#saved = { version: saved.version, status: saved.status }
        })
      }
      if (decision.news.length > 0) this.#call(fault(), `${phaseOf(status)}>${phaseOf(decision.status)} tell`, () => { this.told.push(...decision.news) })
    } catch (err) {
      if (err instanceof Crash) this.crash()
      else if (err instanceof Lost || (err instanceof Error && EXPECTED.test(err.message))) {
        this.wakeAt = this.world.now + RETRY_MS
      } else throw err
    }
    return this.world !== started
  }

  #decide(status: CanaryStatus, views: Views): Decision {
    const { now } = this.world
    const found = see(views, now)
    const check = wantsCheck(status, found, now) ? { metrics: [measured(this.world)] } : undefined
    const hooks: HookAnswer[] = []
    let seen: Seen = { ...found, check, hooks }
    for (let asks = wantedHooks(status, seen, now); asks.length > 0; asks = wantedHooks(status, seen, now)) {
      for (const { name, type } of asks) {
        const isOk = type === 'rollback' ? false : this.world.hooks === 'open'
        hooks.push({ name, type, ok: isOk, message: 'closed' })
      }
      seen = { ...seen, hooks: [...hooks] }
    }
    const decision = step(status, seen, now)
    checkDecision(status, decision, seen, this.#ledger)
    return decision
  }

  #call(fault: Fault, point: string, carry: () => void): void {
    if (fault !== 'none') this.#crashPoints.add(`${point} ${fault}`)
    if (fault === 'fails') throw new Error('failed')
    if (fault === 'crash-before') throw new Crash()
    carry()
    if (fault === 'lost') throw new Lost()
    if (fault === 'crash-after') throw new Crash()
  }
}

class Crash extends Error {}
class Lost extends Error {}
const EXPECTED = /^(failed|conflict|no (canary|primary|baseline) to scale)$/
const RETRY_MS = 100

const isSame = (a: World, b: World, key: 'target' | 'primary' | 'canary' | 'baseline' | 'routes' | 'apex'): boolean => {
  if (a[key] === b[key]) return true
  const strip = (world: World): unknown => {
    const value = world[key]
    return typeof value === 'object' && value && 'pods' in value ? { ...value, since: 0 } : value
  }
  return JSON.stringify(strip(a)) === JSON.stringify(strip(b))
}
const ready = (world: World): string => JSON.stringify((['target', 'primary', 'canary', 'baseline'] as const).map((role) =>
  (world[role]?.pods ?? []).filter((pod) => world.now >= pod.readyAt).length)) + world.broken.join()

function measured(world: World): CheckedMetric {
  const name = 'request-success-rate'
  switch (world.metrics) {
    case 'good': return { name, measurement: { kind: 'value', value: 100 } }
    case 'bad': return { name, measurement: { kind: 'value', value: 50 }, failure: 'Halt shop.prod advancement success rate 50.00% < 99%' }
    case 'no-data': return { name, measurement: { kind: 'no-data', reason: 'none' }, failure: 'Halt advancement no values found' }
    case 'unavailable': return { name, measurement: { kind: 'unavailable', reason: 'down' }, halt: 'Prometheus query failed: down' }
    default: return world.metrics satisfies never
  }
}
