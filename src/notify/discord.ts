import { attachmentBody, SLACK_COLOURS } from '#notify/slack.ts'
import { post, type NotifyProvider } from '#notify/provider.ts'

/** Discord's hook in its Slack-compatible form. */
export const discord: NotifyProvider = {
  type: 'discord',
  render: (alert, to) => post(slackForm(to.address), attachmentBody(alert, to, SLACK_COLOURS)),
}

function slackForm(address: string): string {
  if (!URL.canParse(address)) return address
  const url = new URL(address)
  url.pathname = `${url.pathname.replace(/(?:\/slack)?\/*$/, '')}/slack`
  return url.href
}
