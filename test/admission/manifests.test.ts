import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse } from 'yaml'
import { COMMAND_ANNOTATIONS } from '#api/commands.ts'
import { EXCLUDED_NAMESPACES, OWNED_TARGET_ANNOTATIONS } from '#api/names.ts'
import { FAILURE_POLICIES, HOOK_PATHS } from '#admission/hooks.ts'

type Webhook = {
  readonly name: string
  readonly clientConfig: { readonly service: { readonly path: string } & Record<string, unknown>; readonly caBundle?: string }
  readonly failurePolicy: string
  readonly timeoutSeconds: number
  readonly namespaceSelector: { readonly matchExpressions: readonly { readonly values: readonly string[] }[] }
  readonly matchConditions: readonly { readonly name: string; readonly expression: string }[]
  readonly reinvocationPolicy?: string
  readonly [field: string]: unknown
}
const read = (file: string): { readonly metadata: { readonly name: string }; readonly webhooks: readonly Webhook[] } =>
  parse(readFileSync(new URL(`../../manifests/install/webhook/${file}.yaml`, import.meta.url), 'utf8'))

const TIMEOUTS: Readonly<Record<string, number>> = { workloads: 2, services: 2, settings: 2, status: 2, canaries: 5, deletions: 2, guards: 2, scale: 2, generated: 2, leaving: 2 }

for (const file of ['mutating', 'validating']) {
  const { metadata, webhooks } = read(file)
  test(`${file}: every webhook agrees with the server about what happens when it is down`, async (t) => {
    t.equal(metadata.name, 'canarygate')
    for (const { name, clientConfig, failurePolicy, timeoutSeconds, namespaceSelector, matchConditions, ...rest } of webhooks) {
      const hook = name.replace('.canarygate.dev', '')
      t.equal(failurePolicy, Object.entries(FAILURE_POLICIES).find(([known]) => known === hook)?.[1], `${name}: failure policy`)
      t.equal(timeoutSeconds, TIMEOUTS[hook], `${name}: time-out`)
      t.match(rest, { sideEffects: 'None', matchPolicy: 'Equivalent', admissionReviewVersions: ['v1'] })
      t.match(clientConfig, { service: { name: 'canarygate-webhook', namespace: 'canarygate', port: 443 } })
      t.equal(clientConfig.caBundle, undefined, 'the agent fills it in')
      t.ok(HOOK_PATHS.some((path) => path === clientConfig.service.path), `${name}: a path that answers`)
      t.same(namespaceSelector.matchExpressions[0]?.values.toSorted(), [...EXCLUDED_NAMESPACES, 'canarygate'].toSorted(), `${name}: excluded namespaces`)
      t.match(matchConditions[0], { name: 'not-the-agent' }, `${name}: never waits for the agent's own requests`)
    }
  })
}

test('both hooks that sign commands watch every command, its author, the author\'s groups and its time', async (t) => {
  const { webhooks } = read('mutating')
  for (const webhook of ['workloads', 'settings']) {
    const text = webhooks.find(({ name }) => name === `${webhook}.canarygate.dev`)?.matchConditions.find(({ name }) => name === 'matters')?.expression ?? ''
    for (const command of COMMAND_ANNOTATIONS) t.ok(text.includes(`'${command}'`), `${webhook}: ${command}`)
    t.match(text, /\['', '-by', '-groups', '-at'\]/)
  }
})

test('the workloads webhook watches every annotation that the server keeps, and is asked again when others change the object', async (t) => {
  const [workloads] = read('mutating').webhooks
  const matters = workloads?.matchConditions.find(({ name }) => name === 'matters')?.expression ?? ''
  for (const annotation of OWNED_TARGET_ANNOTATIONS) t.ok(matters.includes(`'${annotation.replace('canarygate.dev/', '')}'`), annotation)
  t.equal(workloads?.reinvocationPolicy, 'IfNeeded')
})
