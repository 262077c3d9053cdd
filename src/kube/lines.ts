import { KubeError } from '#kube/error.ts'

/** Longest line of a watch: an object is at most 1.5 MiB in etcd, its JSON is never ten times that. */
const MAX_LINE_BYTES = 16 * 1024 * 1024
const NEWLINE = 0x0a

/**
 * Splits a stream at the byte 0x0A alone. `node:readline` splits at U+2028 too, which JSON may hold unescaped,
 * and decoding chunk by chunk would break a character that two chunks share. Empty lines are left out.
 */
export async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let held: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of chunks) {
    let from = 0
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      const tail = chunk.subarray(from, at)
      const line = (heldBytes > 0 ? Buffer.concat([...held, tail]) : tail).toString('utf8')
      held = []
      heldBytes = 0
      from = at + 1
      if (line.trim() !== '') yield line
    }
    if (from < chunk.length) {
      held.push(chunk.subarray(from))
      heldBytes += chunk.length - from
    }
    if (heldBytes > MAX_LINE_BYTES) throw new KubeError({ status: 0, reason: 'BadAnswer', message: 'a line of the watch is longer than 16 MiB' })
  }
  // A line without its end is half an object, cut by whatever cut the connection: the next watch brings it whole.
}
