import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { receiveMail, type Received } from '../notify/smtp-receiver.ts'
import { applyYaml, cluster } from '../scene.ts'

/** What runs outside of the cluster under the test's control, at an address that pods reach: services, and who gets alerts. */

/** An HTTP server that answers as `answer` says. Its URL has no slash at the end. */
export async function serve(t: Test, answer: (request: IncomingMessage, body: string, response: ServerResponse) => void): Promise<string> {
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => answer(request, body, response))
  })
  const { hostAddress } = cluster()
  await new Promise<void>((resolve) => { server.listen(0, hostAddress, resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://${hostAddress}:${(server.address() as AddressInfo).port}`
}

/** An alert in Slack, as a person reads it: red or not, and what it says. */
export type SlackAlert = { readonly body: SlackBody; readonly line: string }
export type SlackBody = {
  readonly channel: string; readonly username: string; readonly icon_url: string; readonly icon_emoji: string
  readonly attachments: readonly { readonly color: string; readonly author_name: string; readonly text: string; readonly mrkdwn_in: readonly string[]; readonly fields: readonly { readonly title: string; readonly value: string; readonly short: boolean }[] }[]
}

export type Inbox = {
  readonly slack: SlackAlert[]
  readonly mails: readonly Received[]
  readonly slackAddress: string
  readonly mailAddress: string
  /** What a Canary says under `spec.analysis.alerts` to be heard here. */
  readonly alerts: readonly { readonly name: string; readonly severity: 'info'; readonly providerRef: { readonly name: string } }[]
}

/** A Slack channel and a mailbox, and the AlertProviders for them in a namespace. */
export async function createInbox(t: Test, ns: string): Promise<Inbox> {
  const slack: SlackAlert[] = []
  const url = await serve(t, (_request, body, response) => {
    const parsed = JSON.parse(body) as SlackBody
    const [{ color, text } = { color: '', text: '' }] = parsed.attachments
    slack.push({ body: parsed, line: `${color}: ${text}` })
    response.end('ok')
  })
  const { port, mails } = await receiveMail(t, { address: cluster().hostAddress })
  const slackAddress = `${url}/services/T0/B0`
  const mailAddress = `smtp://${cluster().hostAddress}:${port}`
  const provider = (name: string, spec: object): object => ({ apiVersion: 'flagger.app/v1beta1', kind: 'AlertProvider', metadata: { name, namespace: ns }, spec })
  await applyYaml(
    provider('on-call', { type: 'slack', channel: 'on-call', username: 'releases', address: slackAddress }),
    provider('mail', { type: 'email', channel: 'team@example.org, boss@example.org', username: 'releases@example.org', address: mailAddress }),
  )
  return { slack, mails, slackAddress, mailAddress, alerts: ['on-call', 'mail'].map((name) => ({ name, severity: 'info', providerRef: { name } })) }
}
