import { createHash } from 'node:crypto'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

/** Servers that somebody else wrote, installed nowhere: their programs lie in the cache, for all later runs. */

const START_MS = 60_000

/** The folder of the cache for what `key` describes, filled by the first who wants it. `skip`: why there is none here. */
export async function cached(name: string, key: string, fill: (folder: string) => Promise<unknown>): Promise<{ readonly folder: string; readonly skip: string | false }> {
  const cache = resolve(process.env['CANARYGATE_CACHE'] ?? '.cache', `${name}-${createHash('sha256').update(key).digest('hex').slice(0, 12)}`)
  if (existsSync(cache)) return { folder: cache, skip: false }
  await mkdir(join(cache, '..'), { recursive: true })
  const folder = await mkdtemp(`${cache}.`)
  try {
    await fill(folder)
    await rename(folder, cache).catch((err: unknown) => { if (!existsSync(cache)) throw err })
    return { folder: cache, skip: false }
  } catch (err) {
    return { folder: cache, skip: `no ${name}: ${(err instanceof Error ? err.message : String(err)).trim().split('\n').at(-1)}` }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Where the server listens: what `find` makes of the first line that it finds something in. */
export async function addressOf(child: ChildProcess, output: Readable, find: (line: string) => string | undefined): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => { reject(new Error('the server did not start')) }, START_MS)
    createInterface({ input: output }).on('line', (line) => {
      const found = find(line)
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    })
    child.once('exit', (code) => { clearTimeout(timer); reject(new Error(`the server ended with ${code}`)) })
  })
}
