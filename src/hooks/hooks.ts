import type { Canary, CanaryWebhook } from '#api/canary.ts'
import { checksumOf } from '#hooks/checksum.ts'
import { callHook, typeOf, type HookAnswer, type HookPorts, type HookSubject, type HookType } from '#hooks/call.ts'

/** All hooks of one type: one round. */

export const hooksOf = (canary: Pick<Canary, 'spec'>, type: HookType): readonly CanaryWebhook[] =>
  (canary.spec.analysis.webhooks ?? []).filter((hook) => typeOf(hook) === type)

export const subjectOf = ({ metadata, status = {} }: Pick<Canary, 'metadata' | 'status'>, phase = status.phase ?? ''): HookSubject =>
  ({ name: metadata.name, namespace: metadata.namespace ?? '', phase, checksum: checksumOf(status) })

/**
 * The answers in list order. The first that settles the matter is the last: a refusal, or for `rollback` hooks the first yes.
 * Never rejects.
 */
export async function runHooks(type: HookType, hooks: readonly CanaryWebhook[], subject: HookSubject, ports: HookPorts, signal: AbortSignal): Promise<readonly HookAnswer[]> {
  const answers: HookAnswer[] = []
  for (const hook of hooks) {
    const answer = await callHook(hook, subject, ports, signal)
    answers.push(answer)
    if (answer.ok === (type === 'rollback')) break
  }
  return answers
}
