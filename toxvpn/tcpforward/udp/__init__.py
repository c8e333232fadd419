"""UDP forwards: datagrams between the private stacks of two peers, in associations that one side asks for."""
