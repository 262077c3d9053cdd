import type { KubeObject } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import type { Log } from '#kube/log.ts'

export type EventRecorderOptions = {
  readonly client: KubeClient
  /** `source.component`, and the prefix of nothing else. */
  readonly component: string
  /** Pod name of the reporter. */
  readonly instance: string
  readonly log: Log
  readonly now: () => number
  readonly random: () => number
}

export type EventNews = { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string }

export type EventRecorder = {
  /** Writes, or counts up, one Event about `regarding`. Never rejects: a failed write is logged. */
  record(regarding: Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'>, news: EventNews): Promise<void>
}

export function createEventRecorder(_options: EventRecorderOptions): EventRecorder {
  throw new Error('not written yet')
}
