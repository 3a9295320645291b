// What the PEs did in the cycles in which a tile was computed, added up over the PEs.

module pe_counters #(
    parameter int P = 16
) (
    input  logic         clock,
    input  logic         reset,
    input  logic         running,
    input  logic [P-1:0] busy,
    input  logic [P-1:0] gated,
    output logic [ 47:0] busy_cycles,   // a weight met a spike
    output logic [ 47:0] gated_cycles,  // no spike was met
    output logic [ 47:0] idle_cycles    // waiting at a barrier
);
  logic [$clog2(P+1)-1:0] now_busy, now_gated;

  always_comb begin
    now_busy  = '0;
    now_gated = '0;
    for (int pe = 0; pe < P; pe++) begin
      now_busy  = now_busy + {{$clog2(P + 1) - 1{1'b0}}, busy[pe]};
      now_gated = now_gated + {{$clog2(P + 1) - 1{1'b0}}, gated[pe]};
    end
  end

  always_ff @(posedge clock)
    if (reset) begin
      busy_cycles  <= '0;
      gated_cycles <= '0;
      idle_cycles  <= '0;
    end else if (running) begin
      busy_cycles  <= busy_cycles + 48'(now_busy);
      gated_cycles <= gated_cycles + 48'(now_gated);
      idle_cycles  <= idle_cycles + 48'(P) - 48'(now_busy) - 48'(now_gated);
    end
endmodule
