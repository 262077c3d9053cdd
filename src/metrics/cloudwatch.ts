/** Amazon CloudWatch's GetMetricData. AWS's own SDK finds the credentials (environment, IRSA, pod identity, instance role), signs and repeats. */

import type { CloudWatchClient, MetricDataQuery } from '@aws-sdk/client-cloudwatch'
import type { Http } from '#api/http.ts'
import type { Measurement } from '#api/measurement.ts'
import { dig, excerpt, noData, parseJson, unavailable, value, windowSeconds, type MetricProvider } from '#metrics/provider.ts'

/** For all attempts, signing in included. */
const DEADLINE_MS = 5_000
/** As Flagger's three retries. */
const MAX_ATTEMPTS = 4
const MAX_DATAPOINTS = 20
/** A host is built from it. */
const REGION = /^[a-z]{2,8}(?:-[a-z0-9]{1,12}){1,4}$/

/** The agent's own credentials are used, whoever wrote the template: AWS knows no others here. */
export function createCloudwatch(): MetricProvider {
  /** Found once and renewed by the SDK; each client has a region of its own, but all share who they are. */
  let credentials: CloudWatchClient['config']['credentials'] | undefined

  return {
    type: 'cloudwatch',
    async query(query, address, http, signal) {
      const { region, at } = address
      if (!region || !REGION.test(region)) return unavailable('spec.provider.region is missing or no region of AWS')
      const queries = parseJson(query)
      if (!isQueries(queries)) return unavailable('the query is no JSON list of MetricDataQuery')
      // Loaded when first needed: a megabyte that most installations never use.
      const { CloudWatchClient, GetMetricDataCommand } = await import('#metrics/aws-sdk.ts')
      const client = new CloudWatchClient({ region, maxAttempts: MAX_ATTEMPTS, requestHandler: handlerOver(http), ...(credentials ? { credentials } : {}) })
      credentials ??= client.config.credentials
      try {
        const answer = await client.send(new GetMetricDataCommand({
          StartTime: new Date(at - windowSeconds(address) * 1_000), EndTime: new Date(at),
          MaxDatapoints: MAX_DATAPOINTS, ScanBy: 'TimestampDescending', MetricDataQueries: queries,
        }), { abortSignal: AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]) })
        return pickCloudwatch(answer.MetricDataResults)
      } catch (err) {
        return unavailable(reasonOf(err))
      }
    },
  }
}

const isQueries = (queries: unknown): queries is MetricDataQuery[] =>
  Array.isArray(queries) && queries.length > 0 && queries.every((one: unknown) => typeof dig(one, 'Id') === 'string')

/** The newest value of the first result. */
export function pickCloudwatch(results: unknown): Measurement {
  const [first] = Array.isArray(results) ? (results as readonly unknown[]) : []
  if (first === undefined) return noData('no values found')
  const [found, status] = [dig(first, 'Values', 0), dig(first, 'StatusCode')]
  // Newest first: of a part of the answer, too, the first value is the newest.
  if (typeof found === 'number' && status !== 'InternalError' && status !== 'Forbidden') return value(found)
  if (status === 'Complete' || status === undefined) return noData('no values found')
  return unavailable(`CloudWatch could not answer: ${excerpt(`${String(status)} ${String(dig(first, 'Messages', 0, 'Value') ?? '')}`, [])}`)
}

function reasonOf(err: unknown): string {
  const { name, message } = err instanceof Error ? err : { name: '', message: 'request failed' }
  if (name === 'CredentialsProviderError') return 'the agent has no AWS credentials: give its service account a role (IRSA or pod identity)'
  if (name === 'AbortError' || name === 'TimeoutError') return `CloudWatch: no answer within ${DEADLINE_MS} ms`
  const status = dig(err, '$metadata', 'httpStatusCode')
  return `error response: ${typeof status === 'number' ? `${status} ` : ''}${excerpt(`${name}: ${message}`, [])}`
}

/** The SDK's way to the network, over ours: size, addresses and time stay guarded. */
const handlerOver = (http: Http): Handler => ({
  async handle({ protocol, hostname, port, path, query, method, headers, body }, { abortSignal } = {}) {
    const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`)
    for (const [name, values] of Object.entries(query ?? {})) for (const one of [values].flat()) url.searchParams.append(name, one ?? '')
    const text = body === undefined ? undefined : typeof body === 'string' ? body : new TextDecoder().decode(body)
    const answer = await http({
      method: method === 'GET' ? 'GET' : 'POST', url: url.href, headers, deadlineMs: DEADLINE_MS, ...(text === undefined ? {} : { body: text }),
    }, abortSignal ?? new AbortController().signal)
    return { response: { statusCode: answer.status, headers: {}, body: Buffer.from(answer.body) } }
  },
})

type Handler = {
  handle(request: {
    readonly protocol: string; readonly hostname: string; readonly port?: number; readonly path: string; readonly method: string
    readonly query?: Readonly<Record<string, string | readonly string[] | null>>; readonly headers: Record<string, string>; readonly body?: string | Uint8Array
  }, options?: { readonly abortSignal?: AbortSignal }): Promise<{ readonly response: { statusCode: number; headers: Record<string, string>; body: Uint8Array } }>
}
