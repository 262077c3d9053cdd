import type { HookName } from '#admission/hooks.ts'
import type { Operation } from '#admission/review.ts'

/** One review that was answered. It names no user: traces are read by more people than audit logs. */
export type ReviewSpan = {
  readonly hook: HookName
  readonly namespace: string
  readonly kind: string
  readonly name: string
  readonly operation: Operation
  readonly dryRun: boolean
  readonly outcome: string
  /** Of the findings, as often as they were found. */
  readonly rules: readonly string[]
  /** Why the hook could not do its work. */
  readonly fault?: 'errored' | 'late'
  /** Unix ms. */
  readonly startedAt: number
  readonly endedAt: number
  /** Of the request: the API server's trace context may be among them. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** Where spans go, if anywhere. `review` is called after the answer and must not throw. */
export type Tracing = {
  review(span: ReviewSpan): void
  /** Sends what is left, within its own time limit. */
  stop(): Promise<void>
}
