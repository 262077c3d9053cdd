import { parsed, refused, type Parsed } from '#loadtest/words.ts'

/** What a hook sends: Flagger's body. */
export type Payload = {
  readonly name: string
  readonly namespace: string
  readonly phase: string
  readonly metadata: Readonly<Record<string, string>> | undefined
}

/** Longest name that Kubernetes knows. */
const MAX_NAME_CHARS = 253

export function parsePayload(text: string): Parsed<Payload> {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return refused('the body is not JSON')
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return refused('the body is no JSON object')
  const { name = '', namespace = '', phase = '', metadata } = body as Readonly<Record<string, unknown>>
  if (typeof name !== 'string' || typeof namespace !== 'string' || typeof phase !== 'string') return refused('name, namespace and phase must be strings')
  if (name.length > MAX_NAME_CHARS || namespace.length > MAX_NAME_CHARS) return refused('name or namespace is too long')
  if (metadata === undefined || metadata === null) return parsed({ name, namespace, phase, metadata: undefined })
  if (!isTextMap(metadata)) return refused('metadata must map names to strings')
  return parsed({ name, namespace, phase, metadata })
}

const isTextMap = (value: unknown): value is Readonly<Record<string, string>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every((one) => typeof one === 'string')
