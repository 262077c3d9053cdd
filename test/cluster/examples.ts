import { readFileSync } from 'node:fs'
import { test, type Test } from 'tap'
import { parseAllDocuments } from 'yaml'
import type { KubeObject } from '#api/objects.ts'
import { applyYaml, cluster, events, getCanary, imageOf, namespace, reaches, run, skip, startLoad, waitFor } from '../scene.ts'
import { createInbox } from './receivers.ts'

/**
 * The examples, applied from their files as a reader would, with these substitutions: the names of images, the hosts of the alerts, the CPU
 * that pods ask for (one test machine is not five), and, where `interval` is another one than theirs, the interval of the analysis.
 */
const WRITTEN = '1m'

type Substitution = readonly [from: string | RegExp, to: string]

/** Applies an example's files. A substitution that finds nothing is a mistake. */
async function applyExample(ns: string, folder: string, files: readonly string[], substitutions: readonly Substitution[]): Promise<void> {
  let text = files.map((file) => readFileSync(`examples/${folder}/${file}`, 'utf8')).join('\n---\n')
  for (const [from, to] of substitutions) {
    const changed = text.replaceAll(typeof from === 'string' ? from : new RegExp(from, 'g'), to)
    if (changed === text) throw new Error(`examples/${folder} has no ${String(from)} any more`)
    text = changed
  }
  const objects = parseAllDocuments(text).map((document) => document.toJS() as KubeObject).filter(Boolean)
  await applyYaml(...objects.map((object) => ({ ...object, metadata: { ...object.metadata, namespace: ns } })))
}

const setImage = (ns: string, name: string, container: string, image: string) => run(['-n', ns, 'set', 'image', `deployment/${name}`, `${container}=${image}`])
const reasons = async (ns: string): Promise<readonly string[]> => (await events(ns)).filter(({ kind }) => kind === 'Canary').map(({ reason }) => reason)
const advances = async (ns: string): Promise<readonly string[]> => (await events(ns)).filter(({ reason }) => reason.endsWith('Advanced')).map(({ message }) => message.replace(/^Advance \S+ /, ''))

async function released(t: Test, ns: string, name: string, image: string, seconds: number): Promise<void> {
  await reaches(ns, ['Succeeded'], seconds, name)
  t.equal(await imageOf(ns, `${name}-primary`), image)
}

/** `interval` between two checks, which are `seconds`. */
export function testExamples(interval: string, seconds: number): void {
  const every = (before: string, after = ''): readonly Substitution[] => (interval === WRITTEN ? [] : [[`${before}${WRITTEN}${after}`, `${before}${interval}${after}`]])

  test('the payment service: load from its own hook, ten percent at a time up to fifty, promoted', { skip }, async (t) => {
    const ns = await namespace(t, { gated: false })
    await applyExample(ns, 'payment-service', ['deployment.yaml', 'canary.yaml'], [
      ['payment:v1.0.0', 'shop:1.0'], ...every('interval: '), ['cpu: 100m', 'cpu: 5m'],
    ])
    await reaches(ns, ['Initialized'], 90, 'payment-service')
    const { code, stderr } = await setImage(ns, 'payment-service', 'payment', 'shop:1.1')
    t.equal(code, 0)
    t.match(stderr, `canary 10% -> 50% in 5 steps of ${interval}, then promotion`)
    await released(t, ns, 'payment-service', 'shop:1.1', 60 + 9 * seconds)
    t.same(await advances(ns), [10, 20, 30, 40, 50].map((weight) => `canary weight ${weight}`))
    t.equal((await run(['-n', ns, 'get', 'horizontalpodautoscaler', 'payment-service-primary'])).code, 0, 'the autoscaler has gone where the pods are')
  })

  test('the shop\'s API: a version with errors is rolled back at the third failed check, and Slack and the mailbox hear of it', { skip }, async (t) => {
    const ns = await namespace(t, { gated: false })
    const inbox = await createInbox(t, ns)
    await applyExample(ns, 'shop-api', ['deployment.yaml', 'alerts.yaml', 'canary.yaml'], [
      ['my-app:v1.0.0', 'shop:1.0'], ...every('interval: '),
      ['https://hooks.slack.com/services/YOUR/WEBHOOK/URL', inbox.slackAddress], ['smtp://mail.example.org:587', inbox.mailAddress],
    ])
    await reaches(ns, ['Initialized'], 90, 'my-app')
    await setImage(ns, 'my-app', 'my-app', 'shop:bad')
    await reaches(ns, ['Failed'], 60 + 6 * seconds, 'my-app')
    t.match((await getCanary(ns, 'my-app'))?.status, { canaryWeight: 0 })
    t.equal(await imageOf(ns, 'my-app-primary'), 'shop:1.0')
    t.ok((await events(ns)).some(({ message }) => /success rate \d\d\.\d\d% < 99\.5%/.test(message)))
    await waitFor('the last alert', async () => inbox.slack.some(({ line }) => line.startsWith('danger')) && inbox.mails.length >= 1, 20).catch(() => undefined)
    // How soon the judge says something of its own is a matter of how many requests came.
    t.same(inbox.slack.map(({ line }) => line).filter((line) => !line.includes('worse beyond doubt')), [
      'good: New Deployment detected, initialization completed.', 'good: New revision detected, progressing canary analysis.', 'danger: Failed checks threshold reached 3',
    ])
    t.match(inbox.slack.at(-1)?.body, { channel: 'releases', attachments: [{ author_name: `my-app.${ns}` }] })
    t.match(inbox.mails, [{ to: ['<on-call@example.org>'], data: /Failed checks threshold reached 3/ }])
    t.equal(inbox.mails.length, 1, 'failures alone are mailed')
  })

  test('the site behind Traefik: listed weights, three metrics, load by its hook, and home in steps; nobody meets an error', { skip }, async (t) => {
    const ns = await namespace(t, { gated: false })
    const host = `${ns}.example.org`
    await applyExample(ns, 'web-front', ['deployment.yaml', 'canary.yaml'], [
      ['image: hello:v1', 'image: shop:1.0\n        env: [{name: PORT, value: "5000"}]'], ...every('    interval: ', '\n    threshold'), ['hello.example.org', host],
    ])
    await reaches(ns, ['Initialized'], 90, 'hello')
    const load = startLoad(t, { url: cluster().traefikUrl, host, rate: 10 })
    t.equal((await setImage(ns, 'hello', 'hello', 'shop:1.1')).code, 0)
    await released(t, ns, 'hello', 'shop:1.1', 60 + 9 * seconds)
    t.same(await advances(ns), [...[10, 25, 50, 90].map((weight) => `canary weight ${weight}`), ...[50, 90, 100].map((weight) => `primary weight ${weight}`)])
    t.notOk((await reasons(ns)).includes('CanaryCheckFailed'))
    const { failed, total } = await load.stop()
    t.equal(failed, 0, `of ${total} requests`)
  })
}
