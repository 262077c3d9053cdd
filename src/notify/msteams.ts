import { authorOf, type Alert } from '#notify/alert.ts'
import { post, type NotifyProvider } from '#notify/provider.ts'

const BLUE = '0076D7'
const RED = 'FF0000'
/** Hosts of Power Automate, whose Workflows took the place of Teams' connectors and read adaptive cards only. */
const WORKFLOW_HOST = /\.(?:logic\.azure\.(?:com|us|cn)|api\.powerplatform\.com)$/

/** A connector (MessageCard, as Flagger sends it), or a Workflow (adaptive card), by the address. */
export const msteams: NotifyProvider = {
  type: 'msteams',
  render: (alert, { address }) => post(address, isWorkflow(address) ? adaptiveCard(alert) : messageCard(alert)),
  // A connector answers 200 whatever became of the card, and says in words what did.
  refusal: (body) => {
    if (!body.startsWith('Webhook message delivery failed')) return undefined
    const status = Number(/HTTP error (\d+)/.exec(body)?.[1] ?? 400)
    return { reason: body, isTransient: status === 429 || status >= 500 }
  },
}

const isWorkflow = (address: string): boolean => URL.canParse(address) && WORKFLOW_HOST.test(new URL(address).hostname)

const messageCard = (alert: Alert): unknown => ({
  '@type': 'MessageCard',
  '@context': 'http://schema.org/extensions',
  themeColor: alert.severity === 'error' ? RED : BLUE,
  summary: authorOf(alert),
  sections: [{ activityTitle: alert.message, activitySubtitle: authorOf(alert), facts: alert.fields }],
})

const TEXT_COLOURS = { info: 'Default', warn: 'Warning', error: 'Attention' } as const

const adaptiveCard = (alert: Alert): unknown => ({
  type: 'message',
  attachments: [{
    contentType: 'application/vnd.microsoft.card.adaptive',
    contentUrl: null,
    content: {
      $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
      type: 'AdaptiveCard',
      version: '1.4',
      body: [
        { type: 'TextBlock', text: alert.message, weight: 'Bolder', color: TEXT_COLOURS[alert.severity], wrap: true },
        { type: 'TextBlock', text: authorOf(alert), isSubtle: true, wrap: true },
        ...(alert.fields.length > 0 ? [{ type: 'FactSet', facts: alert.fields.map(({ name, value }) => ({ title: name, value })) }] : []),
      ],
    },
  }],
})
