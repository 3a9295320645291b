// What the test bench runs: the array, a clock, and memories for what it sends out, which
// go to the files of the present job. For simulation alone.

`timescale 1ns / 1ps

module bench #(
    parameter int P              = 16,
    parameter int VALUE_BITS     = 8,
    parameter int INDEX_BITS     = 16,
    parameter int INPUT_BITS     = 1,
    parameter int LANES          = 32,
    parameter int LINES          = 512,
    parameter int DEPTH          = 64,
    parameter int ENTRIES        = 256,
    parameter int OUTPUTS        = 4096,
    parameter int SUM_BITS       = 24,
    parameter int POTENTIAL_BITS = 32,
    parameter int FRACTION       = 6,
    parameter bit SKIP_SPIKES    = 0,
    parameter int LOOKAHEAD      = 1
);
  logic clock = 1'b0;
  always #5 clock = !clock;

  logic reset;
  logic [1:0] barrier_kind;
  logic [31:0] intervals;
  logic [15:0] tiles, columns, rows, pixels, steps;
  logic analog;
  logic [7:0] kernel_rows, kernel_columns;
  logic [$clog2(LINES*LANES)-1:0] channel_size, row_step, column_step;
  logic [$clog2(LINES*LANES)-1:0] stride, row_stride, frame;
  logic [POTENTIAL_BITS-1:0] threshold;
  logic line_write;
  logic [$clog2(LINES)-1:0] line_number;
  logic [LANES*INPUT_BITS-1:0] line;
  logic load_valid, load_ready;
  logic [1:0] load_kind;
  logic [(P > 1 ? $clog2(P) : 1)-1:0] load_pe;
  logic [INDEX_BITS+VALUE_BITS-1:0] load_word;
  logic [POTENTIAL_BITS-1:0] load_bias;
  logic fire, finished;
  logic [31:0] fire_count;
  logic [P-1:0] spikes;
  logic [P*SUM_BITS-1:0] sums;
  logic [31:0] fill_cycles, compute_cycles, stall_cycles, drain_cycles;
  logic [47:0] busy_cycles, gated_cycles, idle_cycles;

  pe_array #(
      .P(P),
      .VALUE_BITS(VALUE_BITS),
      .INDEX_BITS(INDEX_BITS),
      .INPUT_BITS(INPUT_BITS),
      .LANES(LANES),
      .LINES(LINES),
      .DEPTH(DEPTH),
      .ENTRIES(ENTRIES),
      .SUM_BITS(SUM_BITS),
      .POTENTIAL_BITS(POTENTIAL_BITS),
      .FRACTION(FRACTION),
      .SKIP_SPIKES(SKIP_SPIKES),
      .LOOKAHEAD(LOOKAHEAD)
  ) dut (
      .*
  );

  logic [31:0] job;
  logic [P-1:0] sent_spikes[OUTPUTS];
  logic [P*SUM_BITS-1:0] sent_sums[OUTPUTS];

  always_ff @(posedge clock)
    if (fire) begin
      sent_spikes[fire_count[$clog2(OUTPUTS)-1:0]] <= spikes;
      sent_sums[fire_count[$clog2(OUTPUTS)-1:0]] <= sums;
    end

  logic written = 1'b0;
  always @(posedge clock) begin
    if (finished && !reset && !written) begin
      $writememh($sformatf("job%0d/spikes.mem", job), sent_spikes, 0, fire_count - 1);
      $writememh($sformatf("job%0d/sums.mem", job), sent_sums, 0, fire_count - 1);
    end
    written <= finished && !reset;
  end
endmodule
