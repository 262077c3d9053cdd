import { test } from 'tap'
import { checksumsOf, configChecksum, configRefs, primaryConfigNames, renderConfig, rewriteConfigs, trackedConfigs } from '#workload/configs.ts'
import { canaryOf, inCluster, objectOf, templateOf } from './fixtures.ts'

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

test('configs opt out, registry credentials are left alone, and a missing mandatory one is told', async (t) => {
  const optedOut = objectOf('v1', 'ConfigMap', 'extra', { data: {} }, { annotations: { 'flagger.app/config-tracking': 'disabled' } })
  const token = objectOf('v1', 'Secret', 'token', { type: 'kubernetes.io/dockerconfigjson' })
  const { configs, missing } = trackedConfigs(template, 'prod', inCluster(cfg, creds, optedOut, token))
  t.same(configs.map(({ metadata }) => metadata.name).toSorted(), ['cfg', 'creds'])
  t.same(missing, [])
  t.same(trackedConfigs(template, 'prod', inCluster(cfg, creds, token)).missing, [{ kind: 'ConfigMap', name: 'extra', isOptional: false }])
})

test('the checksum sees binary data', async (t) => {
  t.not(configChecksum(cfg), configChecksum({ ...cfg, binaryData: { b: 'AQ==' } }))
  t.equal(configChecksum(cfg), configChecksum({ ...cfg, metadata: { ...cfg.metadata, resourceVersion: '9' } }))
  t.same(Object.keys(checksumsOf([cfg, creds])), ['configmap/cfg', 'secret/creds'])
})

test('the primary\'s copy has all data and may change', async (t) => {
  const copy = renderConfig(canaryOf(), cfg)
  t.match(copy, { metadata: { name: 'cfg-primary', labels: { team: 'a' } }, data: { a: '1' }, binaryData: { b: 'AA==' } })
  t.notOk('immutable' in copy)
  t.equal(renderConfig(canaryOf(), creds)['type'], 'Opaque')
  t.same(primaryConfigNames([cfg, creds]), { ConfigMap: { cfg: 'cfg-primary' }, Secret: { creds: 'creds-primary' } })
})
