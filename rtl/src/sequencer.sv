// The stages of a layer: while one tile is computed, the next is loaded and the one
// before it fires. A stage ends when all three are done; then the banks change roles.
//
// Counted are the cycles before the first tile (fill), those in which a tile is
// computed (compute), those in which the array then waits for loading or firing (stall),
// and those after the last tile (drain).

module sequencer #(
    parameter int ENTRY_BITS = 8
) (
    input logic clock,
    input logic reset,

    input logic [15:0] tiles,
    input logic [15:0] pixels,  // of the output
    input logic [15:0] steps,   // time steps of the neurons
    input logic        analog,  // the sums of one run serve all time steps

    output logic load_ready,
    input  logic load_end,    // the last word of a tile is taken
    output logic running,     // a tile is computed
    input  logic computed,    // with this cycle
    output logic advance,     // the banks change roles
    output logic finished,

    output logic                  fire,        // one time step of one pixel
    output logic                  fire_first,  // of the pixel
    output logic                  fire_clear,  // the sum is not needed again
    output logic [ENTRY_BITS-1:0] fire_entry,
    output logic [          31:0] fire_count,  // those of the layer before this one

    output logic [31:0] fill_cycles,
    output logic [31:0] compute_cycles,
    output logic [31:0] stall_cycles,
    output logic [31:0] drain_cycles
);
  logic [16:0] stage;  // 0 fills, 1 to `tiles` compute a tile each, one more drains
  logic loaded, did_compute, fired;
  logic [15:0] pixel, step;
  logic loads, computes, fires, last_step, last_fire;

  assign loads = stage < {1'b0, tiles};
  assign computes = stage != 0 && stage <= {1'b0, tiles};
  assign fires = stage > 1 && !finished;
  assign finished = stage > {1'b0, tiles} + 1;

  assign load_ready = loads && !loaded && !reset;
  assign running = computes && !did_compute;
  assign fire = fires && !fired;
  assign fire_first = step == 0;
  assign last_step = step + 1'b1 == steps;
  assign fire_clear = fire && (last_step || !analog);
  assign last_fire = last_step && pixel + 1'b1 == pixels;

  assign advance = !finished && (!loads || loaded || load_end)
                && (!running || computed) && (!fire || last_fire);

  always_ff @(posedge clock)
    if (reset) begin
      stage <= '0;
      loaded <= 1'b0;
      did_compute <= 1'b0;
      fired <= 1'b0;
    end else if (advance) begin
      stage <= stage + 1'b1;
      loaded <= 1'b0;
      did_compute <= 1'b0;
      fired <= 1'b0;
    end else begin
      if (load_end) loaded <= 1'b1;
      if (computed) did_compute <= 1'b1;
      if (fire && last_fire) fired <= 1'b1;
    end

  // All time steps of a pixel, then the next pixel. Sums lie time step by time step.
  always_ff @(posedge clock)
    if (reset) begin
      pixel <= '0;
      step <= '0;
      fire_entry <= '0;
      fire_count <= '0;
    end else if (fire) begin
      fire_count <= fire_count + 1'b1;
      step <= last_step ? '0 : step + 1'b1;
      if (last_fire) begin
        pixel <= '0;
        fire_entry <= '0;
      end else if (last_step) begin
        pixel <= pixel + 1'b1;
        fire_entry <= ENTRY_BITS'(pixel) + 1'b1;
      end else if (!analog) fire_entry <= fire_entry + ENTRY_BITS'(pixels);
    end

  always_ff @(posedge clock)
    if (reset) begin
      fill_cycles <= '0;
      compute_cycles <= '0;
      stall_cycles <= '0;
      drain_cycles <= '0;
    end else if (!finished) begin
      if (stage == 0) fill_cycles <= fill_cycles + 1'b1;
      else if (!computes) drain_cycles <= drain_cycles + 1'b1;
      else if (running) compute_cycles <= compute_cycles + 1'b1;
      else stall_cycles <= stall_cycles + 1'b1;
    end
endmodule
