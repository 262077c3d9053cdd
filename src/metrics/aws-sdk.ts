/** What is needed of AWS's SDK, behind a file of our own: bundled, an import() of CommonJS has no names. Import it on demand, never at the start. */
export { CloudWatchClient, GetMetricDataCommand } from '@aws-sdk/client-cloudwatch'
