import { parsed, refused, type Parsed } from '#loadtest/words.ts'

/** The pieces of a request that a command line may name, checked before anything is sent. Pure. */

export type Header = readonly [name: string, value: string]

const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/
const MAX_HEADERS = 100

export function parseHeader(text: string): Parsed<Header> {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(0, colon)).trim()
  const value = text.slice(colon + 1).trim()
  return TOKEN.test(name) && !/\p{Cc}/u.test(value) ? parsed([name, value] as const) : refused(`"${text.slice(0, 60)}" is no header; write it like "Accept: text/html"`)
}

export function parseMethod(text: string): Parsed<string> {
  const method = text.toUpperCase()
  return TOKEN.test(method) && method !== 'CONNECT' ? parsed(method) : refused(`"${text.slice(0, 20)}" is no method`)
}

export function parseUrl(text: string | undefined): Parsed<string> {
  if (text === undefined) return refused('there is no URL')
  if (!URL.canParse(text) || !['http:', 'https:'].includes(new URL(text).protocol)) return refused(`"${text.slice(0, 100)}" is no http or https URL`)
  return parsed(new URL(text).href)
}

/** Header names count once, whatever their case; the last one said wins. */
export function headersOf(headers: readonly Header[]): Readonly<Record<string, string>> {
  return Object.fromEntries(headers.slice(0, MAX_HEADERS).map(([name, value]) => [name.toLowerCase(), value]))
}

export const basicAuth = (userAndPassword: string): Header => ['authorization', `Basic ${Buffer.from(userAndPassword).toString('base64')}`]
