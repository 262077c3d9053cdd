import type { Canary } from '#api/canary.ts'
import type { KubeObject, ObjectReader } from '#api/objects.ts'
import type { Routes } from '#api/routes.ts'

export type Kind = { readonly apiVersion: string; readonly kind: string }

/** Splits live requests with one kind of router. Pure: it renders objects, the agent applies them. */
export type TrafficProvider = {
  /** As in `spec.provider`. */
  readonly name: string
  readonly supports: {
    /** Live requests are split by weight. */
    readonly weights: boolean
    readonly mirror: boolean
    /** Requests are chosen by header or cookie (A/B). */
    readonly match: boolean
    readonly sessionAffinity: boolean
    /** Requests to a core Service of the user's can be split (`targetRef.kind: Service`). */
    readonly services: boolean
  }
  /** Watched, so that foreign edits and the router's answers arrive as events. */
  readonly watches: readonly Kind[]
  /** Longest time, in milliseconds, from "the object says so" to "requests go there": pods are kept at least this long after losing weight. */
  readonly settleMs: number
  /** The routes in force: what the router has accepted, not what was asked. Undefined when there is none (yet) or it cannot be told. */
  read(canary: Canary, objects: ObjectReader): Routes | undefined
  /** What is known to keep requests from following the routes, in words for whoever waits. */
  obstacle(canary: Canary, objects: ObjectReader): string | undefined
  /**
   * The objects (server-side applied, in order) that put `routes` in force; empty when nothing differs from what is there.
   * Foreign objects that are patched in place (an IngressRoute of the user's) are rendered whole, with everything else of theirs as read.
   */
  render(canary: Canary, routes: Routes, objects: ObjectReader): readonly KubeObject[]
  /** The objects as they have to be for the primary (or, at the end, the target) to serve without us. */
  release(canary: Canary, objects: ObjectReader): readonly KubeObject[]
}
