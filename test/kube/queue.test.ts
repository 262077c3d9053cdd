import fc from 'fast-check'
import { test } from 'tap'
import { realAfter } from '#kube/clock.ts'
import { createQueue, type Queue, type QueueOptions } from '#kube/queue.ts'
import { createFakeClock } from './fake-clock.ts'
import { createLogLines } from './log-lines.ts'

type Turn = { readonly key: string; readonly finish: (again?: number) => void; readonly fail: (err: Error) => void; readonly signal: AbortSignal }

/** A queue whose turns end when the test says so. */
function manual(options: Partial<QueueOptions> = {}) {
  const clock = createFakeClock()
  const { log, lines } = createLogLines()
  const open: Turn[] = []
  const begun: string[] = []
  const queue: Queue = createQueue({
    work: (key, signal) => new Promise((resolve, reject) => {
      begun.push(key)
      open.push({ key, finish: resolve, fail: reject, signal })
    }),
    workers: 2, log, now: clock.now, after: clock.after, ...options,
  })
  queue.start()
  const finish = async (key: string, again?: number): Promise<void> => {
    open.splice(open.findIndex((turn) => turn.key === key), 1)[0]?.finish(again)
    await clock.settle()
  }
  const fail = async (key: string): Promise<void> => {
    open.splice(open.findIndex((turn) => turn.key === key), 1)[0]?.fail(new Error('broken'))
    await clock.settle()
  }
  return { clock, lines, queue, open, begun, finish, fail }
}

test('a key that is added many times while it waits runs once', async (t) => {
  const { clock, queue, begun, finish } = manual({ workers: 1 })
  queue.add('first')
  await clock.settle()
  for (const key of ['a', 'b', 'a', 'a']) queue.add(key)
  t.equal(queue.stats().depth, 2)
  await finish('first')
  await finish('a')
  await finish('b')
  t.same(begun, ['first', 'a', 'b'])
})

test('a key that is added while it runs runs once more afterwards, never twice at a time', async (t) => {
  const { clock, queue, begun, open, finish } = manual()
  queue.add('a')
  await clock.settle()
  queue.add('a')
  queue.add('a')
  await clock.settle()
  t.equal(open.length, 1)
  await finish('a')
  t.same(begun, ['a', 'a'])
  await finish('a')
  t.same(begun, ['a', 'a'])
})

test('a busy key does not hold back the others', async (t) => {
  const { clock, queue, begun, finish } = manual({ workers: 1 })
  queue.add('busy')
  await clock.settle()
  queue.add('busy')
  queue.add('other')
  await finish('busy')
  t.same(begun, ['busy', 'other'])
})

test('of several waits for one key the earliest counts, and a turn takes them all', async (t) => {
  const { clock, queue, begun, finish } = manual()
  queue.addAfter('a', 5_000)
  queue.addAfter('a', 1_000)
  queue.addAfter('a', 9_000)
  await clock.advance(999)
  t.same(begun, [])
  await clock.advance(1)
  t.same(begun, ['a'])
  await finish('a')
  await clock.advance(20_000)
  t.same(begun, ['a'])
})

test('a turn says when to look again', async (t) => {
  const { clock, queue, begun, finish } = manual()
  queue.add('a')
  await clock.settle()
  await finish('a', 10_000)
  await clock.advance(9_999)
  t.same(begun, ['a'])
  await clock.advance(1)
  t.same(begun, ['a', 'a'])
})

test('failures wait twice as long each time, up to the longest, and one success forgets them', async (t) => {
  const { clock, lines, queue, begun, finish, fail } = manual({ retryMs: { first: 100, longest: 300 } })
  queue.add('a')
  await clock.settle()
  for (const wait of [100, 200, 300, 300]) {
    await fail('a')
    t.same(clock.waits(), [wait])
    await clock.advance(wait)
  }
  await finish('a')
  queue.add('a')
  await clock.settle()
  await fail('a')
  t.same(clock.waits(), [100])
  t.equal(begun.length, 6)
  t.match(lines[0], { level: 50, msg: 'turn failed', key: 'a', err: { message: 'broken' } })
})

test('keys of low priority run when no other is due, and are raised by an ordinary add', async (t) => {
  const { clock, queue, begun, finish } = manual({ workers: 1 })
  queue.add('first')
  await clock.settle()
  queue.add('low1', 'low')
  queue.add('low2', 'low')
  queue.add('normal')
  queue.add('low2')
  for (const key of ['first', 'normal', 'low2', 'low1']) await finish(key)
  t.same(begun, ['first', 'normal', 'low2', 'low1'])
})

test('a wait of more than 24.8 days does not fire at once', async (t) => {
  const { clock, queue, begun } = manual()
  const days40 = 40 * 24 * 3_600_000
  queue.addAfter('a', days40)
  t.ok((clock.waits()[0] ?? 0) < 2 ** 31, 'the timer fits into 31 bits')
  await clock.advance(days40 - 1)
  t.same(begun, [])
  await clock.advance(1)
  t.same(begun, ['a'])
})

test('the real timer clamps what Node would fire at once', async (t) => {
  let fired = false
  const cancel = realAfter(40 * 24 * 3_600_000, () => { fired = true })
  await new Promise((resolve) => setTimeout(resolve, 20))
  cancel()
  t.equal(fired, false)
})

test('a shutdown waits for what runs and begins nothing new', async (t) => {
  const { clock, queue, begun, finish } = manual({ workers: 1 })
  queue.add('a')
  queue.add('b')
  await clock.settle()
  const ended = queue.shutdown(5_000)
  queue.add('c')
  await finish('a', 100)
  t.equal(await ended, true)
  await clock.advance(10_000)
  t.same(begun, ['a'])
  t.match(queue.stats(), { depth: 0, delayed: 0, running: 0 })
})

test('a shutdown past its deadline aborts what still runs', async (t) => {
  const { clock, queue, open } = manual()
  queue.add('a')
  await clock.settle()
  const ended = queue.shutdown(5_000)
  await clock.advance(5_000)
  t.equal(await ended, false)
  t.equal(open[0]?.signal.aborted, true)
})

test('nothing runs before the start', async (t) => {
  const clock = createFakeClock()
  const begun: string[] = []
  const queue = createQueue({ work: async (key) => void begun.push(key), log: createLogLines().log, now: clock.now, after: clock.after })
  queue.add('a')
  queue.addAfter('b', 10)
  await clock.advance(100)
  t.same(begun, [])
  queue.start()
  await clock.settle()
  t.same(begun, ['a', 'b'])
})

test('thousands of due keys let timers in between them', async (t) => {
  const { log } = createLogLines()
  let timerAt = -1
  let done = 0
  const queue = createQueue({ work: async () => { done += 1; for (const end = performance.now() + 0.05; performance.now() < end;); }, workers: 4, log, now: Date.now })
  for (let at = 0; at < 2_000; at += 1) queue.add(`k${at}`)
  queue.start()
  await new Promise<void>((resolve) => setTimeout(() => { timerAt = done; resolve() }, 5))
  t.ok(timerAt >= 0 && timerAt < 2_000, `the timer came after ${timerAt} turns`)
  await queue.shutdown(1_000)
})

test('whatever is asked in whatever order, no key runs twice at a time, and none that was added is lost', async (t) => {
  const command = fc.oneof(
    fc.record({ kind: fc.constantFrom('add' as const, 'low' as const), key: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ kind: fc.constant('later' as const), key: fc.constantFrom('a', 'b', 'c'), ms: fc.integer({ min: 0, max: 50 }) }),
    fc.record({ kind: fc.constant('pass' as const), key: fc.constant(''), ms: fc.integer({ min: 1, max: 30 }) }),
  )
  await fc.assert(fc.asyncProperty(fc.array(command, { maxLength: 20 }), fc.integer({ min: 1, max: 3 }), async (commands, workers) => {
    const clock = createFakeClock()
    const running = new Set<string>()
    const owed = new Set<string>()
    const queue = createQueue({
      work: async (key) => {
        if (running.has(key)) throw new Error('twice at a time')
        running.add(key)
        owed.delete(key)
        await new Promise<void>((resolve) => void clock.after(7, resolve))
        running.delete(key)
      },
      workers, log: createLogLines().log, now: clock.now, after: clock.after,
    })
    queue.start()
    for (const { kind, key, ...rest } of commands) {
      if (kind === 'pass') await clock.advance('ms' in rest ? rest.ms : 0)
      else owed.add(key)
      if (kind === 'add' || kind === 'low') queue.add(key, kind === 'low' ? 'low' : 'normal')
      if (kind === 'later') queue.addAfter(key, 'ms' in rest ? rest.ms : 0)
    }
    await clock.advance(1_000)
    return owed.size === 0 && queue.stats().retries === 0 && queue.stats().running === 0
  }), { numRuns: 25 })
  t.pass('25 random histories')
})
