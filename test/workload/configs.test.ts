import { test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { agreesWith, checksumsOf, configNames, configRefs, configsSeen, copiesOf, copyIn, factsOf, renderCopy, revisionWith, rewriteConfigs, type ConfigLook } from '#workload/configs.ts'
import { canaryOf, objectOf, templateOf } from './fixtures.ts'

const template = templateOf('shop:1', {
  initContainers: [{ name: 'init', envFrom: [{ secretRef: { name: 'creds', optional: true } }] }],
  containers: [{
    name: 'app', image: 'shop:1',
    env: [{ name: 'A', value: '1' }, { name: 'B', valueFrom: { configMapKeyRef: { name: 'cfg', key: 'b' } } }, { name: 'C', valueFrom: { fieldRef: { fieldPath: 'x' } } }],
    envFrom: [{ prefix: 'P_', configMapRef: { name: 'more', optional: true } }],
  }],
  volumes: [
    { name: 'v', configMap: { name: 'cfg', items: [] } }, { name: 's', secret: { secretName: 'creds' } }, { name: 'e', emptyDir: {} },
    { name: 'p', projected: { defaultMode: 420, sources: [{ configMap: { name: 'extra' } }, { secret: { name: 'token' } }, { serviceAccountToken: { path: 't' } }] } },
  ],
  imagePullSecrets: [{ name: 'registry' }],
})

test('every place that names a config is found, optional only where all say so', async (t) => {
  t.same(configRefs(template).map(({ kind, name, isOptional }) => `${kind}/${name}${isOptional ? '?' : ''}`).toSorted(),
    ['ConfigMap/cfg', 'ConfigMap/extra', 'ConfigMap/more?', 'Secret/creds', 'Secret/token'])
})

test('names are rewritten where they are references, and nowhere else', async (t) => {
  const names = { ConfigMap: { cfg: 'cfg-primary', extra: 'extra-primary' }, Secret: { creds: 'creds-primary', token: 'token-primary' } }
  const text = JSON.stringify(rewriteConfigs(template, names))
  for (const name of ['cfg', 'creds', 'extra', 'token']) t.equal(text.split(`"${name}-primary"`).length, JSON.stringify(template).split(`"${name}"`).length, name)
  t.match(text, /"name":"registry"/)
  t.same(rewriteConfigs(template, {}), template, 'no names, no change')
})

const cfg = objectOf('v1', 'ConfigMap', 'cfg', { data: { a: '1' }, binaryData: { b: 'AA==' }, immutable: true }, { labels: { team: 'a' } })
const creds = objectOf('v1', 'Secret', 'creds', { type: 'Opaque', data: { p: 'eA==' } })

const lookAt = (...configs: readonly KubeObject[]): ConfigLook => ({ kind, name }) => {
  const found = configs.find((config) => config.kind === kind && config.metadata.name === name)
  return found && factsOf(found)
}
const seen = (...configs: readonly KubeObject[]) => configsSeen(configRefs(template), lookAt(...configs))

test('configs opt out, registry credentials are left alone, and a missing mandatory one is told', async (t) => {
  const optedOut = objectOf('v1', 'ConfigMap', 'extra', { data: {} }, { annotations: { 'flagger.app/config-tracking': 'disabled' } })
  const token = objectOf('v1', 'Secret', 'token', { type: 'kubernetes.io/dockerconfigjson' })
  const { record, missing } = seen(cfg, creds, optedOut, token)
  t.same(Object.keys(checksumsOf(record)).toSorted(), ['configmap/cfg', 'secret/creds'])
  t.same(missing, [])
  t.same(seen(cfg, creds, token).missing, ['configmap/extra'])
  t.same(configsSeen(configRefs(template), ({ kind }) => (kind === 'Secret' ? 'unreadable' : undefined)).record, {
    'configmap/cfg': 'absent', 'configmap/extra': 'absent', 'configmap/more': 'absent', 'secret/creds': 'untracked', 'secret/token': 'untracked',
  })
})

test('the checksum sees all content, and nothing but content', async (t) => {
  const checksum = (config: KubeObject): string => factsOf(config).checksum
  t.not(checksum(cfg), checksum({ ...cfg, binaryData: { b: 'AQ==' } }))
  t.not(checksum(cfg), checksum({ ...cfg, data: { a: '2' } }))
  t.equal(checksum(cfg), checksum({ ...cfg, immutable: false, metadata: { ...cfg.metadata, resourceVersion: '9' } }))
})

test('a revision names the template and what it refers to', async (t) => {
  const { record } = seen(cfg, creds)
  const revision = revisionWith('1abc', record)
  t.match(revision, /^1abc-[0-9a-f]{8}$/)
  t.not(revisionWith('1abc', seen({ ...cfg, data: { a: '2' } }, creds).record), revision)
  t.equal(revisionWith('1abc', {}), '1abc', 'nothing referred to')
  t.equal(revisionWith('1abc', { 'secret/creds': 'untracked' }), '1abc', 'nothing tracked')
})

const extra = objectOf('v1', 'ConfigMap', 'extra', { data: {} })
const token = objectOf('v1', 'Secret', 'token', { type: 'Opaque', data: {} })
const more = objectOf('v1', 'ConfigMap', 'more', { data: { m: '1' } })
const before = seen(cfg, creds, extra, token).record
for (const { name, now, agrees } of [
  { name: 'the same content agrees', now: seen(cfg, creds, extra, token), agrees: true },
  { name: 'other content is another revision', now: seen({ ...cfg, data: { a: '2' } }, creds, extra, token), agrees: false },
  { name: 'an optional one that appears is content', now: seen(cfg, creds, extra, token, more), agrees: false },
  { name: 'a mandatory one that is being replaced is waited for', now: seen(creds, extra, token), agrees: true },
  { name: 'opting out is taken up with the next release', now: seen({ ...cfg, metadata: { ...cfg.metadata, annotations: { 'flagger.app/config-tracking': 'disabled' } } }, creds, extra, token), agrees: true },
]) test(name, async (t) => t.equal(agreesWith(before, now), agrees))

test('what was recorded before anything was tracked agrees with all', async (t) => t.ok(agreesWith({}, seen(cfg, creds, extra, token))))

test('a copy is named by target and content, immutable, whole, and known again', async (t) => {
  const copies = copiesOf('shop', seen(cfg, creds).record)
  const [copy] = copies
  t.match(copy, { kind: 'ConfigMap', source: 'cfg', name: /^cfg-[0-9a-f]{10}$/ })
  if (!copy) return
  const rendered = renderCopy(canaryOf(), cfg, copy)
  t.match(rendered, { metadata: { name: copy.name, labels: { team: 'a' }, ownerReferences: [{ kind: 'Canary', controller: true }] }, immutable: true, data: { a: '1' }, binaryData: { b: 'AA==' } })
  t.same(copyIn(rendered), copy)
  t.equal(copyIn(cfg), undefined)
  t.not(copiesOf('other', seen(cfg).record)[0]?.name, copy.name, 'two targets that share a config have a copy each')
  t.equal(renderCopy(canaryOf(), creds, copy)['type'], 'Opaque')
  const there = rewriteConfigs(template, configNames(copies))
  t.match(JSON.stringify(there), `"name":"${copy.name}"`)
  t.same(rewriteConfigs(there, configNames(copies, 'source')), template)
})
