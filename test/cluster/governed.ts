import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { ClusterCanaryPolicySpec } from '#api/policies.ts'
import { applyYaml, events, kubectl, run, type Answer, type Told } from '../scene.ts'

/** Policies for some namespaces, and people by RBAC. */

const COMMANDS = 'canarygate.dev'
/** What a policy changes, the caches of two webhooks and an agent know a moment later (ms). */
export const WATCH_MS = 1_000

export async function policy(t: Test, namespaces: readonly string[], spec: Omit<ClusterCanaryPolicySpec, 'namespaces'>): Promise<string> {
  const name = `scene-${namespaces[0]}`
  t.teardown(() => kubectl('delete', 'clustercanarypolicy', name, '--ignore-not-found'))
  await applyYaml({ apiVersion: 'canarygate.dev/v1alpha1', kind: 'ClusterCanaryPolicy', metadata: { name }, spec: { namespaces: { names: namespaces }, ...spec } })
  await wait(WATCH_MS)
  return name
}

export const apply = (object: object): Promise<Answer> => run(['apply', '-f', '-'], { input: JSON.stringify(object) })
export const setImage = (ns: string, image: string): Promise<Answer> => run(['-n', ns, 'set', 'image', 'deployment/cart', `cart=${image}`])
export const told = async (ns: string, reason: string): Promise<readonly Told[]> => (await events(ns)).filter((event) => event.reason === reason)

/** Somebody who may edit Canaries, and has further verbs on them. */
export async function user(t: Test, ns: string, name: string, verbs: readonly string[]): Promise<void> {
  await applyYaml(
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name, namespace: ns }, rules: [
      { apiGroups: ['flagger.app'], resources: ['canaries'], verbs: ['get', 'list', 'update', 'patch', ...verbs] },
      { apiGroups: ['apps'], resources: ['deployments'], verbs: ['get', 'list', 'update', 'patch'] },
    ] },
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: { name, namespace: ns }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name }, subjects: [
      { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name },
    ] },
  )
}
export const annotate = (ns: string, who: string, ...annotations: readonly string[]): Promise<Answer> =>
  run(['--as', who, '-n', ns, 'annotate', 'canary/cart', ...annotations.map((text) => `${COMMANDS}/${text}`), '--overwrite'])
