import type { KubeClient } from '#kube/client.ts'
import { KubeError } from '#kube/error.ts'

/** A Secret's decoded values, or why they cannot be had, with the way out. Read when needed and forgotten: nothing here keeps a secret. */
export type SecretAnswer = { readonly data: Readonly<Record<string, string>> } | { readonly reason: string }

const FORBIDDEN = 403
const DEADLINE_MS = 5_000

export async function readSecret(client: KubeClient, namespace: string, name: string, signal?: AbortSignal): Promise<SecretAnswer> {
  try {
    const secret = await client.get({ apiVersion: 'v1', kind: 'Secret', namespace, name }, { timeoutMs: DEADLINE_MS, ...(signal ? { signal } : {}) })
    if (!secret) return { reason: `secret ${name} in namespace ${namespace} was not found` }
    const data = (secret['data'] ?? {}) as Readonly<Record<string, string>>
    return { data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')])) }
  } catch (err) {
    if (!(err instanceof KubeError)) throw err
    if (err.status !== FORBIDDEN) return { reason: `secret ${name} could not be read: ${err.message}` }
    return {
      reason: `the agent may not read secrets in namespace ${namespace}: kubectl -n ${namespace} create rolebinding canarygate-secrets `
        + '--clusterrole=canarygate-secret-reader --serviceaccount=canarygate:canarygate-agent',
    }
  }
}
