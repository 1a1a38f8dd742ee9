"""The server: predictions over HTTP, live streams over WebSocket, a page to speak into.

    settings    what an operator may choose           lifecycle   start, signals, drain, end
    app         the ASGI application                  routes      HTTP routes        live        the WebSocket route
    security    Host, Origin, token, headers          body        bodies and forms, their clock
    query       options of a request                  problems    errors as problem+json
    admission   how much audio may wait               scheduler   windows of everyone through the model, in batches
    workers     processes that read audio             worker      such a process      channel     how they are talked to
    protocol    guards below HTTP                     metrics     counters for Prometheus
    openapi     the contract as JSON and as a page    live_config, ration   what a stream may choose and send
    opus        WebM and Ogg, in opus_worker          service     what the routes share    log         JSON lines
    socket_protocol   when a WebSocket is read

Needs the extra `serve`. No audio is written anywhere, and nothing is connected to.
"""
