import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const scripts = import.meta.dirname
/** Longest wait for one script; the very first up builds the cluster's programs. */
const TIMEOUT_MS = 20 * 60_000
const skip = process.getuid?.() === 0 ? false : 'needs root: the cluster makes namespaces, mounts and a veth pair'

/** Traces that a cluster could leave on the host, outside of the folders that bear its name. */
const HOST_STATE = [
  'ip -o link show | cut -d: -f2',
  'ip route show',
  "cut -d' ' -f2,3 /proc/self/mounts",
  'iptables-save 2>/dev/null | grep -v ^#',
  'ls /run /run/netns /var/lib /var/log /opt /etc/cni /usr/libexec 2>/dev/null',
  'sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys net.ipv4.ip_forward net.ipv4.conf.all.route_localnet',
]

const run = promisify(execFile)

/** A cluster of its own in a temporary folder: another slot, no add-ons. The one of the clone is left alone. */
async function createCluster() {
  const parent = await mkdtemp(join(tmpdir(), 'canarygate-cluster-'))
  const folder = join(parent, 'state')
  const env = { ...process.env, CANARYGATE_CLUSTER_DIR: folder }
  const script = async (name: string, ...args: string[]) => (await run(join(scripts, name), args, { env, timeout: TIMEOUT_MS })).stdout
  const kubectl = async (...args: string[]) => {
    const about = JSON.parse(await readFile(join(folder, 'cluster.json'), 'utf8'))
    return (await run(about.kubectl, ['--kubeconfig', about.kubeconfig, ...args])).stdout
  }
  return {
    up: () => script('up.sh', '--bare'),
    down: () => script('down.sh'),
    status: () => script('status.sh'),
    /** A shell command inside the cluster's namespaces. */
    inside: (command: string) => run('bash', ['-c', `source ${join(scripts, 'lib.sh')}; inside bash -c '${command}'`], { env }),
    kubectl,
    /** A pod that runs: containers, their cgroups, mounts and iptables rules must go too. */
    runPod: async () => {
      await kubectl('create', 'deployment', 'shop', '--image', 'shop:1.0')
      await kubectl('rollout', 'status', 'deployment', 'shop', '--timeout', '60s')
    },
    owner: () => readFile(join(folder, 'owner'), 'utf8'),
    remove: () => rm(parent, { recursive: true }),
  }
}

/** What leftovers.sh lists; of other clones too, hence the comparison with what it said before. */
async function leftovers(): Promise<string[]> {
  const listed = await run(join(scripts, 'leftovers.sh')).then(({ stdout }) => stdout, ({ stdout }) => String(stdout))
  return listed.split('\n').filter((line) => line !== '')
}

async function hostState(): Promise<Record<string, string[]>> {
  const entries = HOST_STATE.map(async (command) => {
    const { stdout } = await run('bash', ['-c', `${command} || true`], { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } })
    return [command, stdout.split('\n').filter((line) => !/\bcgt\d+|canarygate-cluster/.test(line))] as const
  })
  return Object.fromEntries(await Promise.all(entries))
}

t.setTimeout(TIMEOUT_MS)

t.test('an up of a running cluster changes nothing, a down leaves nothing behind', { skip }, async (t) => {
  const [stateBefore, leftBefore] = [await hostState(), await leftovers()]
  const cluster = await createCluster()
  t.teardown(async () => {
    await cluster.down()
    await cluster.remove()
  })
  const exports = await cluster.up()
  t.match(await cluster.kubectl('get', 'nodes'), /node1 +Ready/)
  const owner = await cluster.owner()

  t.equal(await cluster.up(), exports, 'the second up says the same')
  t.equal(await cluster.owner(), owner, 'and the processes are still the first ones')

  await cluster.down()
  t.strictSame(await leftovers(), leftBefore)
  t.strictSame(await hostState(), stateBefore)
  await t.rejects(cluster.status(), { code: 3 }, 'status says that it is down')
})

t.test('a half-dead cluster is replaced by an up, and removed whole by a down', { skip }, async (t) => {
  const [stateBefore, leftBefore] = [await hostState(), await leftovers()]
  const cluster = await createCluster()
  t.teardown(async () => {
    await cluster.down()
    await cluster.remove()
  })
  const kill = () => cluster.inside('pids=$(cat /run/kubelet.pid /run/apiserver.pid); kill -9 $pids; while kill -0 $pids; do sleep 0.1; done')
  await cluster.up()
  const owner = await cluster.owner()
  await cluster.runPod()
  await kill()
  await t.rejects(cluster.status(), { code: 1, stderr: /apiserver is dead\n(.*\n)*kubelet is dead/ })

  await cluster.up()
  t.not(await cluster.owner(), owner)
  t.match(await cluster.kubectl('get', 'nodes'), /node1 +Ready/)

  await cluster.runPod()
  await kill()
  await cluster.down()
  t.strictSame(await leftovers(), leftBefore)
  t.strictSame(await hostState(), stateBefore)
})
