import type { Canary } from '#api/canary.ts'

/** What holds where a Canary leaves a field out, and how far one may go. Apart from the schemas, so that the webhook does not load a schema library for a number. */
export const DEFAULT_INTERVAL_SECONDS = 60
export const DEFAULT_PROGRESS_DEADLINE_SECONDS = 600
export const DEFAULT_HOOK_TIMEOUT_SECONDS = 10
export const DEFAULT_REVISION_HISTORY_LIMIT = 10

/** More checks than this, eleven days of them at the shortest interval, are no analysis. */
export const MAX_ITERATIONS = 100_000

/** Name of the apex Service, the base of every generated Service and route. */
export const apexName = (canary: Pick<Canary, 'spec'>): string => canary.spec.service?.name ?? canary.spec.targetRef.name

export const isKnativeTarget = ({ spec: { targetRef } }: Pick<Canary, 'spec'>): boolean => targetRef.kind === 'Service' && targetRef.apiVersion.startsWith('serving.knative.dev/')
/** A core Service, whatever else its `apiVersion` says, is what is released: requests are moved, and no pods. */
export const isServiceTarget = (canary: Pick<Canary, 'spec'>): boolean => canary.spec.targetRef.kind === 'Service' && !isKnativeTarget(canary)
