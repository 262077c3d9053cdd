import type { Payload } from '#loadtest/payload.ts'

/** Gates that people open and close by hand; closed until opened, and again after a restart. */
export type Gates = {
  isOpen(payload: Payload): boolean
  /** False: too many are open to remember one more. */
  open(payload: Payload): boolean
  close(payload: Payload): void
  count(): number
}

const MAX_OPEN = 10_000

export function createGates(): Gates {
  const open = new Set<string>()
  return {
    isOpen: (payload) => open.has(keyOf(payload)),
    open(payload) {
      if (open.size >= MAX_OPEN) return false
      open.add(keyOf(payload))
      return true
    },
    close: (payload) => { open.delete(keyOf(payload)) },
    count: () => open.size,
  }
}

const keyOf = ({ name, namespace }: Payload): string => JSON.stringify([name, namespace])
