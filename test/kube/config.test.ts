import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { test, type Test } from 'tap'
import { clusterConfig, loadClusterConfig } from '#kube/config.ts'

async function directoryFor(t: Test): Promise<string> {
  const directory = await mkdtemp(`${tmpdir()}/kubeconfig-`)
  t.teardown(async () => await rm(directory, { recursive: true }))
  return directory
}

const kubeconfig = (user: object, cluster: object = {}, more: object = {}): string => JSON.stringify({
  apiVersion: 'v1', kind: 'Config', 'current-context': 'here',
  clusters: [{ name: 'c', cluster: { server: 'https://api.example:6443/', ...cluster } }],
  users: [{ name: 'u', user }],
  contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'shop' } }, { name: 'there', context: { cluster: 'c', user: 'u' } }],
  ...more,
})

test('a kubeconfig with data, files and tokens', async (t) => {
  const directory = await directoryFor(t)
  await writeFile(`${directory}/ca.pem`, 'CA FILE')
  await writeFile(`${directory}/token`, 'from-file\n')
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const rows = [
    { name: 'client certificate', text: kubeconfig({ 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') }, { 'certificate-authority-data': base64('CA') }), headers: {}, tls: { ca: 'CA', cert: 'CERT', key: 'KEY' } },
    { name: 'relative file and token', text: kubeconfig({ token: 't' }, { 'certificate-authority': 'ca.pem' }), headers: { authorization: 'Bearer t' }, tls: { ca: 'CA FILE' } },
    { name: 'token file before token', text: kubeconfig({ token: 't', tokenFile: 'token' }), headers: { authorization: 'Bearer from-file' }, tls: {} },
    { name: 'password', text: kubeconfig({ username: 'a', password: 'b' }), headers: { authorization: 'Basic YTpi' }, tls: {} },
    {
      name: 'another user\'s name', text: kubeconfig({ token: 't', as: 'ann', 'as-uid': '7', 'as-groups': ['dev', 'ops'], 'as-user-extra': { 'example.com/scope': ['view'] } }),
      headers: { authorization: 'Bearer t', 'impersonate-user': 'ann', 'impersonate-uid': '7', 'impersonate-group': ['dev', 'ops'], 'impersonate-extra-example.com%2Fscope': ['view'] }, tls: {},
    },
    { name: 'no verification, server name', text: kubeconfig({}, { 'insecure-skip-tls-verify': true, 'tls-server-name': 'x' }), headers: {}, tls: { servername: 'x', rejectUnauthorized: false } },
  ]
  for (const { name, text, headers, tls } of rows) {
    await writeFile(`${directory}/config`, text)
    const config = await loadClusterConfig({ kubeconfig: `${directory}/config`, now: () => 0 })
    t.equal(config.server, 'https://api.example:6443')
    t.equal(config.namespace, 'shop')
    const credentials = await config.credentials()
    t.same({ headers: credentials.headers, tls: credentials.tls }, { headers, tls }, name)
  }
  t.equal((await loadClusterConfig({ kubeconfig: `${directory}/config`, context: 'there', now: () => 0 })).namespace, 'default')
})

test('of several files the first wins, and what leads nowhere says so', async (t) => {
  const directory = await directoryFor(t)
  await writeFile(`${directory}/a`, kubeconfig({ token: 'first' }))
  await writeFile(`${directory}/b`, kubeconfig({ token: 'second' }))
  const config = await loadClusterConfig({ kubeconfig: `${directory}/a:${directory}/b`, now: () => 0 })
  t.same((await config.credentials()).headers, { authorization: 'Bearer first' })
  await t.rejects(loadClusterConfig({ kubeconfig: `${directory}/a`, context: 'nowhere', now: () => 0 }), { message: /no context nowhere/ })
  await t.rejects(loadClusterConfig({ now: () => 0 }), { message: /neither a kubeconfig nor a service account/ })
  await writeFile(`${directory}/a`, kubeconfig({}, { 'proxy-url': 'http://proxy' }))
  await t.rejects(loadClusterConfig({ kubeconfig: `${directory}/a`, now: () => 0 }), { message: /proxy/ })
})

test('a credential plugin is run, and run again after a 401', async (t) => {
  const directory = await directoryFor(t)
  const plugin = `${directory}/plugin.sh`
  await writeFile(plugin, `#!/bin/sh\necho x >> ${directory}/runs\nn=$(wc -l < ${directory}/runs | tr -d ' ')\nprintf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"token-%s"}}' $n\n`)
  await chmod(plugin, 0o755)
  await writeFile(`${directory}/config`, kubeconfig({ exec: { apiVersion: 'client.authentication.k8s.io/v1', command: plugin, interactiveMode: 'Never' } }))
  const config = await loadClusterConfig({ kubeconfig: `${directory}/config`, now: () => 0 })
  t.match((await config.credentials()).headers, { authorization: 'Bearer token-1' })
  t.match((await config.credentials()).headers, { authorization: 'Bearer token-1' }, 'kept')
  config.refresh()
  t.match((await config.credentials()).headers, { authorization: 'Bearer token-2' })
})

test("the pod's service account: a rotated token is read after a minute, and files are not touched before", async (t) => {
  const directory = await directoryFor(t)
  await mkdir(`${directory}/sa`)
  for (const [file, text] of [['token', 'one'], ['ca.crt', 'CA'], ['namespace', 'gate']] as const) await writeFile(`${directory}/sa/${file}`, text)
  let at = 0
  const config = await loadClusterConfig({ inCluster: { host: 'fd00::1', port: '443', directory: `${directory}/sa` }, now: () => at })
  t.match([config.server, config.namespace], ['https://[fd00::1]:443', 'gate'])
  const first = await config.credentials()
  await writeFile(`${directory}/sa/token`, 'two')
  at += 59_000
  t.equal(await config.credentials(), first)
  at += 1_000
  const second = await config.credentials()
  t.same(second.headers, { authorization: 'Bearer two' })
  t.equal(second.tlsVersion, first.tlsVersion, 'the same CA needs no new connections')
  await writeFile(`${directory}/sa/ca.crt`, 'CA2')
  config.refresh()
  t.not((await config.credentials()).tlsVersion, first.tlsVersion)
})

test('many requests at once are one reading, and a reading that fails leaves what worked', async (t) => {
  let reads = 0
  let at = 0
  const config = clusterConfig('https://x', 'default', async () => {
    reads += 1
    if (reads === 2) throw new Error('volume is being swapped')
    return { headers: { n: String(reads) }, tls: {} }
  }, () => at)
  await Promise.all([config.credentials(), config.credentials(), config.credentials()])
  t.equal(reads, 1)
  at += 120_000
  t.same((await config.credentials()).headers, { n: '1' })
  t.same((await config.credentials()).headers, { n: '3' }, 'and it is tried again')
})
