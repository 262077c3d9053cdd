/** Google Cloud Monitoring, asked in MQL over REST. Google's own library signs in: with a service account's key, or as the agent. */

import type { GoogleAuth } from 'google-auth-library'
import type { Measurement } from '#api/measurement.ts'
import { ask, dig, excerpt, noData, parseJson, unavailable, urlOf, value, type MetricProvider } from '#metrics/provider.ts'

const DEADLINE_MS = 5_000
const ENDPOINT = 'https://monitoring.googleapis.com'
const SCOPE = 'https://www.googleapis.com/auth/monitoring.read'
/** A path is built from it. */
const PROJECT = /^[a-z0-9.:-]{1,64}$/

type SignedIn = { readonly project: string; readonly authorization: string }

export type StackdriverOptions = {
  /** Where Cloud Monitoring is. Never the template's address: a token of the agent goes there. */
  readonly endpoint?: string
}

export function createStackdriver({ endpoint = ENDPOINT }: StackdriverOptions = {}): MetricProvider {
  /** The agent's own sign-in (workload identity): the library keeps its token and renews it. */
  let ambient: GoogleAuth | undefined

  async function signIn(secret: Readonly<Record<string, string>> | undefined): Promise<SignedIn> {
    // Loaded when first needed.
    const { GoogleAuth, JWT } = await import('#metrics/google-auth.ts')
    const key = secret?.['serviceAccountKey']
    if (key) {
      const client = new JWT({ ...parseKey(key), scopes: [SCOPE] })
      // Signed here: no other server is asked, whatever the key names.
      client.useJWTAccessWithScope = true
      return { project: secret?.['project']?.trim() ?? '', authorization: (await client.getRequestHeaders()).get('authorization') ?? '' }
    }
    ambient ??= new GoogleAuth({ scopes: [SCOPE] })
    const headers = await ambient.getRequestHeaders()
    return { project: secret?.['project']?.trim() ?? (await ambient.getProjectId()), authorization: headers.get('authorization') ?? '' }
  }

  return {
    type: 'stackdriver',
    async query(query, address, http, signal) {
      const { secret } = address
      if (secret && !secret['project']) return unavailable('the secret has no project')
      const within = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)])
      const signedIn = await Promise.race([signIn(secret), aborted(within)]).catch((err: unknown) => (err instanceof Error ? err : new Error('failed')))
      // The library's messages may quote what it was given.
      if (signedIn instanceof Error) return unavailable(`signing in at Google failed: ${excerpt(signedIn.message, Object.values(secret ?? {}))}`)
      const { project, authorization } = signedIn
      if (!PROJECT.test(project)) return unavailable('the project is no id of a Google Cloud project')
      const url = urlOf(endpoint, `/v3/projects/${project}/timeSeries:query`, {})
      if (!url) return unavailable('the address is no http or https URL')
      const headers = { authorization, accept: 'application/json', 'content-type': 'application/json' }
      return ask({ method: 'POST', repeatable: true, url: url.href, headers, body: JSON.stringify({ query }), deadlineMs: DEADLINE_MS }, { ...address, headers: { authorization: [authorization] } }, http, signal, parseStackdriver)
    },
  }
}

const aborted = (signal: AbortSignal): Promise<never> => new Promise((_resolve, reject) => {
  signal.addEventListener('abort', () => { reject(new Error(`no answer within ${DEADLINE_MS} ms`)) }, { once: true })
})

/** Only a service account's own key: the other kinds name files and servers that the agent would read and ask. */
function parseKey(text: string): { readonly email: string; readonly key: string } {
  const parsed = parseJson(text)
  const [email, key] = [dig(parsed, 'client_email'), dig(parsed, 'private_key')]
  if (dig(parsed, 'type') !== 'service_account' || typeof email !== 'string' || typeof key !== 'string') throw new Error('serviceAccountKey is no JSON key of a service account')
  return { email, key }
}

/** The first value of the newest point of the first series; whole numbers come as text, which Flagger reads as 0. */
export function parseStackdriver(body: string): Measurement {
  const answer = parseJson(body)
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) return unavailable('the answer is not one of Cloud Monitoring')
  const series = dig(answer, 'timeSeriesData')
  const found = dig(series, 0, 'pointData', 0, 'values', 0)
  // Points may be missing because of it: that nothing is left does not say that there is nothing.
  const fault = dig(answer, 'partialErrors', 0, 'message')
  if (found === undefined && fault !== undefined) return unavailable(`the answer is not complete: ${excerpt(String(fault), [])}`)
  // An empty list is left out of the answer; an answer of somebody else has neither.
  if (series === undefined) return Object.keys(answer).every((key) => ['timeSeriesDescriptor', 'nextPageToken'].includes(key)) ? noData('no values found') : unavailable('the answer is not one of Cloud Monitoring')
  if (found === undefined) return noData('no values found')
  const text = dig(found, 'doubleValue') ?? dig(found, 'int64Value')
  const isNumber = typeof text === 'number' || (typeof text === 'string' && /^(?:-?\d+|NaN|-?Infinity)$/.test(text))
  return isNumber ? value(Number(text)) : unavailable('the value is no number; the query needs one that ends in a double or an integer')
}
